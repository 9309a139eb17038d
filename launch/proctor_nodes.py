"""What the launch files share: Proctor's nodes with their arguments, names and remappings.

A node that ends takes the others down: half of a supervised robot is no robot.
"""

from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable, Shutdown
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution, PythonExpression
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

# Every node but the simulator and the recorder.
NODES = ["perception", "fusion", "autonomy", "safety", "console"]

# The places of arms, and the launch argument that names the robot's arm there.
PLACES = {"PSM1": "arm", "PSM2": "psm2", "ECM": "ecm"}
# An arm's topics below its name, as `proctor graph` lists them.
ARM_TOPICS = [
    "measured_js", "setpoint_js", "measured_cp", "spatial/measured_cf", "operating_state", "state_command", "servo_jp",
    "jaw/measured_js", "jaw/servo_jp",
]
ENDOSCOPE_TOPICS = ["left/image_rect", "right/image_rect", "left/camera_info", "right/camera_info"]


def arguments(simulated):
    """The launch arguments: name, default, text."""
    shared = [
        ("config", PathJoinSubstitution([FindPackageShare("proctor_bringup"), "config"]), "folder with safety.toml and zones.toml"),
        ("params", "", "parameter file (YAML) for the nodes; empty for none"),
        ("namespace", "", "namespace of every node and topic"),
        ("console_port", "8080", "port of the console on this machine; 0 takes a free one"),
        ("authority_key", "", "file with the secret that console, safety and sim share; empty for the user's own"),
        ("record", "", "record every topic into this MCAP file, which must not exist; empty for none"),
        # Not the environment's: ROS's own setup says SUBNET there when nobody said anything.
        ("discovery_range", "LOCALHOST",
         "how far nodes look for each other: LOCALHOST or SUBNET; nothing on a network is authenticated but what the console says"),
    ]
    simulator = [
        ("camera_fps", "30", "pictures per second of the simulated endoscope"),
        ("seed", "1", "seed of the simulated cell"),
    ]
    robot = [
        ("arm", "PSM1", "the robot's arm at the place PSM1"),
        ("psm2", "PSM2", "the robot's arm at the place PSM2"),
        ("ecm", "ECM", "the robot's endoscope arm"),
        ("endoscope", "/endoscope", "namespace of the rectified stereo pictures"),
    ]
    rows = shared + (simulator if simulated else robot)
    return [DeclareLaunchArgument(name, default_value=default, description=text) for name, default, text in rows]


def environment():
    """What every process gets: DDS never reaches further than was said."""
    return [SetEnvironmentVariable("ROS_AUTOMATIC_DISCOVERY_RANGE", LaunchConfiguration("discovery_range"))]


def node(name, simulated, sim_time=False):
    """One node in a process of its own, perhaps on a simulation's clock; its arguments are known when the launch arguments are."""
    return OpaqueFunction(function=lambda context: [_node(context, name, simulated, sim_time)])


def recorder(simulated):
    """The recorder, where a file was named."""
    wanted = IfCondition(PythonExpression(["'", LaunchConfiguration("record"), "' != ''"]))
    return OpaqueFunction(function=lambda context: [_node(context, "recorder", simulated)], condition=wanted)


def _node(context, name, simulated, sim_time=False):
    value = lambda argument: LaunchConfiguration(argument).perform(context)  # noqa: E731
    own = {
        "safety": ["--config", value("config")],
        "console": ["--console-port", value("console_port")],
        "recorder": ["--record", value("record")],
        "sim": ["--camera-fps", value("camera_fps"), "--seed", value("seed")] if simulated else [],
    }
    if name == "gazebo":
        own[name] = own["sim"] + [f"--gazebo-{what}" for what in ("server", "gui") if value(what) == "true"]
    key = value("authority_key")
    remapped = [] if simulated else _remappings(value)
    return Node(
        package="proctor", executable=name, name=name, namespace=value("namespace"), output="screen", emulate_tty=False,
        arguments=own.get(name, []) + (["--authority-key", key] if key else []),
        parameters=([value("params")] if value("params") else []) + ([{"use_sim_time": True}] if sim_time else []),
        remappings=remapped,
        on_exit=Shutdown(reason=f"{name} ended"),
    )


def _remappings(value):
    arms = [(place, value(argument)) for place, argument in PLACES.items()]
    rules = [(f"{place}/{topic}", f"/{arm.strip('/')}/{topic}") for place, arm in arms if arm != place for topic in ARM_TOPICS]
    endoscope = value("endoscope").rstrip("/")
    if endoscope != "/endoscope":
        rules += [(f"endoscope/{topic}", f"{endoscope}/{topic}") for topic in ENDOSCOPE_TOPICS]
    return rules
