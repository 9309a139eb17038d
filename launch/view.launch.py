"""The arms in tf2 and RViz: robot_state_publisher with the cell's description, and RViz with Proctor's view.

    ros2 launch proctor_bringup view.launch.py [rviz:=false] [use_sim_time:=true] [namespace:=room2]

Where the arms' bases are in the world Proctor's fusion says (/tf), as the picture has it; what hangs on them robot_state_publisher, from
/joint_states. Research software, not a medical device.
"""

import re
from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch_ros.actions import Node

ARGUMENTS = {
    "rviz": ("true", "whether RViz is started"),
    "use_sim_time": ("false", "whether /clock is the time"),
    "namespace": ("", "the namespace that Proctor's nodes have"),
}


def _nodes(context):
    share = Path(__file__).parent.parent
    value = {name: context.launch_configurations[name] for name in ARGUMENTS}
    simulated = value["use_sim_time"] == "true"
    description = (share / "urdf" / "generated" / "cell_tracked.urdf").read_text()
    publisher = Node(
        package="robot_state_publisher", executable="robot_state_publisher", namespace=value["namespace"], output="screen",
        parameters=[{"robot_description": description, "use_sim_time": simulated}],
    )
    view = share / "views" / "proctor.rviz"
    space = value["namespace"].strip("/")
    topics = re.findall(r"Value: (/\S+)", view.read_text()) if space else []
    rviz = Node(
        package="rviz2", executable="rviz2", namespace=value["namespace"], arguments=["-d", str(view)],
        remappings=[(topic, f"/{space}{topic}") for topic in topics], parameters=[{"use_sim_time": simulated}],
    )
    return [publisher] + ([rviz] if value["rviz"] == "true" else [])


def generate_launch_description():
    arguments = [DeclareLaunchArgument(n, default_value=d, description=t) for n, (d, t) in ARGUMENTS.items()]
    return LaunchDescription([*arguments, OpaqueFunction(function=_nodes)])
