"""The whole loop in Gazebo, a process per node, on the sourced ROS 2: server (with `gui:=true` its window, too), arms and endoscope, and every node on Gazebo's clock.

    ros2 launch proctor_bringup gazebo.launch.py [server:=false] [gui:=true] [camera_fps:=10] [seed:=1] [console_port:=8080] ...

With `server:=false` it joins the server that runs, whose GZ_PARTITION and GZ_IP it must have (docs/gazebo.md). Research software, not a medical device.
"""

from pathlib import Path
import sys

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument

sys.path.insert(0, str(Path(__file__).parent))
from proctor_nodes import NODES, arguments, environment, node, recorder  # noqa: E402


def generate_launch_description():
    server = DeclareLaunchArgument("server", default_value="true", description="start a Gazebo server of the cell; false joins the one that runs")
    gui = DeclareLaunchArgument("gui", default_value="false", description="open Gazebo's window, too")
    nodes = [node(n, simulated=True, sim_time=n != "gazebo") for n in ["gazebo", *NODES]]
    return LaunchDescription([*arguments(simulated=True), server, gui, *environment(), *nodes, recorder(simulated=True)])
