"""The whole loop on the built-in simulator, a process per node, on the sourced ROS 2.

    ros2 launch proctor_bringup sim.launch.py [camera_fps:=15] [seed:=1] [console_port:=8080] [record:=run.mcap] ...

Research software, not a medical device.
"""

from pathlib import Path
import sys

from launch import LaunchDescription

sys.path.insert(0, str(Path(__file__).parent))
from proctor_nodes import NODES, arguments, environment, node, recorder  # noqa: E402


def generate_launch_description():
    nodes = [node(n, simulated=True) for n in ["sim", *NODES]]
    return LaunchDescription([*arguments(simulated=True), *environment(), *nodes, recorder(simulated=True)])
