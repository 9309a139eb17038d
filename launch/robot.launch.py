"""Proctor beside a CRTK robot (dVRK class): every node but the simulator, a process each, on the sourced ROS 2.

    ros2 launch proctor_bringup robot.launch.py arm:=PSM1 [psm2:=PSM2] [ecm:=ECM] [endoscope:=/endoscope] ...

`arm`, `psm2` and `ecm` are the robot's names of the arms at the places PSM1, PSM2 and ECM: where they differ from the places' own,
every topic of the arm is remapped. All three must speak, or safety holds. Research software, not a medical device.
"""

from pathlib import Path
import sys

from launch import LaunchDescription

sys.path.insert(0, str(Path(__file__).parent))
from proctor_nodes import NODES, arguments, environment, node, recorder  # noqa: E402


def generate_launch_description():
    nodes = [node(n, simulated=False) for n in NODES]
    return LaunchDescription([*arguments(simulated=False), *environment(), *nodes, recorder(simulated=False)])
