"""ROS 2's own tools and rclpy look at Proctor, launched as a user launches it: what do they see, and does what they say arrive?

Usage: judge.py PROCTOR, in an environment with ROS 2 and Proctor's packages sourced. Every wait ends; a failure is an assertion.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from geometry_msgs.msg import PoseStamped
from proctor_msgs.msg import Decision, OperatorRequest, SafetyMode, SafetyState, Scene
from lifecycle_msgs.msg import TransitionEvent
from rcl_interfaces.msg import Log, ParameterEvent
from rcl_interfaces.srv import GetParameters, SetParameters, SetParametersAtomically
import rclpy
from rclpy.parameter import Parameter, parameter_value_to_python
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState

PATIENCE = 90  # seconds for anything, on a machine that is busy with other things
# Nobody writes these here: the endoscope's arm measures no force, and no model beside perception's is given.
UNWRITTEN = {"/ECM/spatial/measured_cf", "/proctor/findings"}
# Whether a value out of range is refused by its name and the event of a parameter has a stamp: not where hiroz answers for itself.
NAMES_AND_STAMPS = True
NODES = {"sim", "perception", "fusion", "autonomy", "safety", "console"}


def fact(text):
    print(f"  ok  {text}", flush=True)


def ros2(*args, expect=0, patience=PATIENCE):
    done = subprocess.run(["ros2", *args], capture_output=True, text=True, timeout=patience)
    assert expect is None or done.returncode == expect, f"ros2 {' '.join(args)}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def present(package):
    """Whether the sourced ROS has this package; what is not there is said and not judged."""
    try:
        return bool(get_package_prefix(package))
    except PackageNotFoundError:
        print(f"  --  {package} is not installed: not judged", flush=True)
        return False


def until(what, look):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if (found := look()) not in (None, False):
            return found
        time.sleep(0.2)
    raise AssertionError(f"waited {PATIENCE} s for {what}")


def ask(node, service, name, **request):
    """Calls a service by rclpy: quicker than a `ros2` of its own for each."""
    client = node.create_client(service, name)
    try:
        assert client.wait_for_service(timeout_sec=PATIENCE), f"nobody offers {name}"
        call = client.call_async(service.Request(**request))
        rclpy.spin_until_future_complete(node, call, timeout_sec=PATIENCE)
        assert call.done(), f"{name} does not answer"
        return call.result()
    finally:
        node.destroy_client(client)


def messages(**values):
    return [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]


def got(node, of, *names):
    return [parameter_value_to_python(v) for v in ask(node, GetParameters, f"/{of}/get_parameters", names=list(names)).values]


class Run:
    """`ros2 run proctor ...` in a terminal of its own: Ctrl-C reaches the command and the node, as it does from a keyboard."""

    def __init__(self, *args):
        self.process = subprocess.Popen(["ros2", "run", "proctor", *args], start_new_session=True)

    def stop(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
        self.end()

    def end(self):
        """Waits for its end; what does not end is killed, and a mistake."""
        try:
            code = self.process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise
        assert code == 0, f"{' '.join(self.process.args)}: {code}"


class Launch:
    """`ros2 launch` in the background, its lines kept."""

    def __init__(self, *args):
        command = ["ros2", "launch", "proctor_bringup", *args]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL)
        self.lines = []
        self.reader = threading.Thread(target=lambda: self.lines.extend(self.process.stdout), daemon=True)
        self.reader.start()

    def said(self, text):
        return any(text in line for line in self.lines) or (self.process.poll() is not None and self.died())

    def died(self):
        raise AssertionError("the launch ended:\n" + "".join(self.lines))

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=PATIENCE)
        self.reader.join(timeout=10)
        assert not any("panicked" in line or "process has died" in line for line in self.lines), "".join(self.lines)


def graph(proctor):
    """`proctor graph`: topic -> (type, reliable, latched, writers)."""
    lines = subprocess.run([proctor, "graph"], capture_output=True, text=True, check=True).stdout.splitlines()[1:]
    row = re.compile(r"(\S+)\s+(\S+)\s+(?:\S+)\s+\d+\s+(true|false)\s+(true|false)\s+((?:\w+, )*\w+)")
    rows = [row.match(line).groups() for line in lines]
    return {t: (kind, reliable == "true", latched == "true", set(w.split(", "))) for t, kind, reliable, latched, w in rows}


def the_graph_is_the_table(node, table):
    """One writer per topic, its type and quality of service: `proctor graph` is what ROS sees, and there is nothing else."""
    expected = {t: row for t, row in table.items() if not row[3] & {"teleop"} and t not in UNWRITTEN}
    assert not [t for t in UNWRITTEN if node.get_publishers_info_by_topic(t)]
    assert {i.node_name for i in node.get_publishers_info_by_topic("/rosout")} >= NODES

    def published():
        return {t for t in expected if node.get_publishers_info_by_topic(t)} == set(expected)

    try:
        until("every topic", published)
    except AssertionError:
        missing = [t for t in expected if not node.get_publishers_info_by_topic(t)]
        raise AssertionError(f"nobody publishes {missing}") from None
    for topic, (kind, reliable, latched, writers) in expected.items():
        if topic == "/rosout":
            continue  # Every ROS node writes it, and rcl once more for each.
        infos = node.get_publishers_info_by_topic(topic)
        assert {i.node_name for i in infos} == writers and len(infos) == len(writers), f"{topic}: {[i.node_name for i in infos]}"
        for i in infos:
            assert i.topic_type == kind, f"{topic}: {i.topic_type}, not {kind}"
            assert (i.qos_profile.reliability == ReliabilityPolicy.RELIABLE) == reliable, f"{topic}: {i.qos_profile}"
            assert (i.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL) == latched, f"{topic}: {i.qos_profile}"
    ours = {t for t, _ in node.get_topic_names_and_types()} - set(table) - {"/rosout", "/parameter_events"} - {f"/{n}/transition_event" for n in NODES}
    assert not ours, f"topics that the table does not have: {ours}"
    fact(f"{len(expected)} topics have the type, the one writer and the quality of service that `proctor graph` names, and there are no others")


def tools():
    nodes = until("every node", lambda: (n := set(ros2("node", "list").split())) >= {f"/{x}" for x in NODES} and n)
    fact(f"ros2 node list: {' '.join(sorted(nodes))}")
    info = ros2("node", "info", "/safety")
    for words in ("/PSM1/servo_jp: sensor_msgs/msg/JointState", "/proctor/scene: proctor_msgs/msg/Scene", "/safety/get_parameters"):
        assert words in info, f"{words} not in\n{info}"
    fact("ros2 node info /safety: publishers, subscribers, services")
    listed = ros2("topic", "list", "-t")
    assert "/proctor/proposal [proctor_msgs/msg/Proposal]" in listed, listed
    echoed = ros2("topic", "echo", "--once", "/PSM1/measured_js")
    assert "outer_insertion" in echoed or "name:" in echoed and "position:" in echoed, echoed
    state = ros2("topic", "echo", "--once", "--qos-durability", "transient_local", "/proctor/safety_state")
    assert "mode:" in state, state
    fact("ros2 topic list, echo of joints and of the latched safety state")
    hz = subprocess.Popen(["ros2", "topic", "hz", "/PSM1/measured_js"], stdout=subprocess.PIPE, text=True)
    rate = until("a rate", lambda: re.search(r"average rate: ([\d.]+)", hz.stdout.readline()))
    hz.send_signal(signal.SIGINT)
    hz.wait(timeout=PATIENCE)
    fact(f"ros2 topic hz /PSM1/measured_js: {rate.group(1)} Hz")


def log(node):
    """/rosout has what every node says, for who comes late, too."""
    heard = {}
    latched = QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    listener = node.create_subscription(Log, "/rosout", lambda line: heard.setdefault(line.name, line), latched)
    # Some say nothing as long as all is well.
    until("lines of safety and console", lambda: rclpy.spin_once(node, timeout_sec=0.1) or {"safety", "console"} <= set(heard))
    node.destroy_subscription(listener)
    line = heard["safety"]
    assert line.level in (10, 20, 30, 40) and line.msg and line.file.endswith(".rs") and line.line > 0 and line.stamp.sec > 0, line
    fact(f"/rosout: {', '.join(sorted(set(heard) & NODES))}; safety says {line.msg!r}")


def frames(node):
    """tf2 with robot_state_publisher knows where a tool is: where the arm itself says it is, in its base's frame."""
    if not (present("robot_state_publisher") and present("tf2_ros")):
        return
    from tf2_ros import Buffer, TransformListener

    view = Launch("view.launch.py", "rviz:=false")
    try:
        poses = []
        arm = node.create_subscription(PoseStamped, "/PSM1/measured_cp", poses.append, QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT))
        buffer = Buffer()
        listener = TransformListener(buffer, node)

        def distance():
            rclpy.spin_once(node, timeout_sec=0.1)
            if not poses or not buffer.can_transform(poses[-1].header.frame_id, "PSM1_tip", Time()):
                return None
            tf, cp = buffer.lookup_transform(poses[-1].header.frame_id, "PSM1_tip", Time()).transform.translation, poses[-1].pose.position
            return ((tf.x - cp.x) ** 2 + (tf.y - cp.y) ** 2 + (tf.z - cp.z) ** 2) ** 0.5

        apart = until("the tool's frame", distance)
        assert apart < 1e-4, f"tf2 has the tool {1000 * apart:.3f} mm from measured_cp"
        until("the other arms", lambda: distance() is not None and all(buffer.can_transform("world", f, Time()) for f in ("PSM2_tip", "endoscope_left_optical")))
        base = buffer.lookup_transform("world", "PSM1_base", Time()).transform.translation
        assert abs(base.x) + abs(base.y) + abs(base.z) > 0.01, base
        listener.unregister()
        node.destroy_subscription(arm)
    finally:
        view.stop()
    fact(f"ros2 launch proctor_bringup view.launch.py: tf2 and robot_state_publisher have PSM1's tool {1e6 * apart:.1f} um from measured_cp, and every arm and camera below world")


def parameters(node):
    listed = ros2("param", "list", "/safety").split()
    assert {"watchdogs.command", "motion.tip_speed_supervised", "classes.liver.speed", "use_sim_time"} <= set(listed), listed
    got = ros2("param", "get", "/safety", "watchdogs.command")
    assert "0.1" in got, got
    described = ros2("param", "describe", "/safety", "watchdogs.command")
    assert all(w in described for w in ("double", "Teleoperation command", "Min value: 0.005", "Max value: 0.1")), described
    refused = ros2("param", "set", "/safety", "watchdogs.command", "0.05", expect=None)
    assert "watchdogs.command" in refused and "unconfigured" in refused and "0.1" in ros2("param", "get", "/safety", "watchdogs.command"), refused
    fact(f"ros2 param list ({len(listed)}), get, describe with range; set is refused by safety: {refused.strip().splitlines()[-1]}")
    called = ros2("service", "call", "/fusion/get_parameters", "rcl_interfaces/srv/GetParameters", "{names: [gap_max_s]}")
    assert "double_value=0.1" in called, called
    fact("ros2 service call /fusion/get_parameters")
    parameters_set(node)


def parameters_set(node):
    """`ros2 param set` changes what a running node does and is told to whoever listens; what is refused is named and changes nothing, half a request neither."""
    scenes, events = [], []
    listeners = [
        node.create_subscription(Scene, "/proctor/scene", scenes.append, QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)),
        node.create_subscription(ParameterEvent, "/parameter_events", events.append, 100),
    ]

    def points(wanted):
        until(f"a scene with points: {wanted}", lambda: rclpy.spin_once(node, timeout_sec=0.1) or bool(scenes and wanted(len(scenes[-1].surface))))

    def still(value, gate=4.0):
        assert got(node, "fusion", "max_surface_points", "gate") == [value, gate]

    points(lambda n: n > 20)
    assert "successful" in ros2("param", "set", "/fusion", "max_surface_points", "7")
    points(lambda n: n == 7)
    assert ros2("param", "get", "/fusion", "max_surface_points").split()[-1] == "7"
    told = until("the event", lambda: next((e for e in events if e.node == "/fusion"), None) or rclpy.spin_once(node, timeout_sec=0.1))
    assert [(p.name, p.value.integer_value) for p in told.changed_parameters] == [("max_surface_points", 7)], told
    assert told.stamp.sec > 0 or not NAMES_AND_STAMPS, told
    said = ros2("param", "set", "/fusion", "max_surface_points", "4096", expect=None)
    assert "successful" not in said and ("max_surface_points" in said or not NAMES_AND_STAMPS) and "2048" in said, said
    wrong = {"max_surface_points": 2.5, "gate": "wide", "max_surfaces": 8, "instruments": ["PROGRASP_FORCEPS_400093"] * 2, "use_sim_time": True}
    for name, result in zip(wrong, ask(node, SetParameters, "/fusion/set_parameters", parameters=messages(**wrong)).results):
        assert not result.successful and name in result.reason, result
    still(7)
    for gate, done in ((99.0, False), (5.0, True)):
        result = ask(node, SetParametersAtomically, "/fusion/set_parameters_atomically", parameters=messages(max_surface_points=9, gate=gate)).result
        assert result.successful == done and (done or "gate" in result.reason or not NAMES_AND_STAMPS), result
        still(9 if done else 7, 5.0 if done else 4.0)
    points(lambda n: n == 9)
    results = ask(node, SetParameters, "/fusion/set_parameters", parameters=messages(max_surface_points=2048, gate=4.0)).results
    assert all(r.successful for r in results), results
    points(lambda n: n > 20)
    for listener in listeners:
        node.destroy_subscription(listener)
    fact("ros2 param set changes what fusion does, /parameter_events says so; what is unknown, out of range, of another type or fixed is refused by name; atomically all or none")


def lifecycle(node):
    """`ros2 lifecycle` sees every node active, and takes one down and up again."""
    nodes = set(ros2("lifecycle", "nodes").split())
    assert nodes >= {f"/{n}" for n in NODES}, nodes
    assert "active [3]" in ros2("lifecycle", "get", "/safety")
    listed = ros2("lifecycle", "list", "/perception")
    assert "deactivate [4]" in listed and "Goal: inactive" in listed and "activate [3]" not in listed.replace("deactivate", ""), listed
    readers = node.count_subscribers("/endoscope/left/image_rect")
    for change, state in (("deactivate", "inactive [2]"), ("cleanup", "unconfigured [1]"), ("configure", "inactive [2]"), ("activate", "active [3]")):
        said = ros2("lifecycle", "set", "/perception", change)
        assert "Transitioning successful" in said and state in ros2("lifecycle", "get", "/perception"), f"{change}: {said}"
        if change == "cleanup":
            until("perception to read no pictures", lambda: node.count_subscribers("/endoscope/left/image_rect") < readers)
    until("perception to read pictures again", lambda: node.count_subscribers("/endoscope/left/image_rect") == readers)
    refused = ros2("lifecycle", "set", "/perception", "configure", expect=None)
    assert "successful" not in refused and "active [3]" in ros2("lifecycle", "get", "/perception"), refused
    fact("ros2 lifecycle nodes, get, list; set takes perception down to unconfigured and up to active, and not where it cannot go")


def robot(node):
    """robot.launch.py beside arms of other names, with a namespace of its own and a parameter file."""
    sim = Run("sim", "--camera-fps", "10", "--ros-args", "-r", "__ns:=/dvrk")
    scenes = []
    listener = node.create_subscription(Scene, "/room2/proctor/scene", scenes.append, QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT))
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write("safety:\n  ros__parameters:\n    motion.tip_speed_supervised: 0.02\n")
        file.flush()
        arms = [f"{argument}:=dvrk/{place}" for argument, place in (("arm", "PSM1"), ("psm2", "PSM2"), ("ecm", "ECM"))]
        launch = Launch("robot.launch.py", "console_port:=0", "namespace:=room2", "endoscope:=/dvrk/endoscope", f"params:={file.name}", *arms)
        try:
            writers = until("a writer of the robot's arm", lambda: node.get_publishers_info_by_topic("/dvrk/PSM1/servo_jp") or None)
            assert [(i.node_name, i.node_namespace) for i in writers] == [("safety", "/room2")], writers
            readers = node.get_subscriptions_info_by_topic("/dvrk/PSM1/servo_jp")
            assert [(i.node_name, i.node_namespace) for i in readers] == [("sim", "/dvrk")], readers
            until("a scene of the robot's pictures and joints", lambda: rclpy.spin_once(node, timeout_sec=0.1) or bool(scenes and scenes[-1].instruments))
            assert "0.02" in ros2("param", "get", "/room2/safety", "motion.tip_speed_supervised")
        except BaseException:
            print("".join(launch.lines[-40:]), file=sys.stderr)
            raise
        finally:
            launch.stop()
            sim.stop()
            node.destroy_subscription(listener)
    fact("ros2 launch proctor_bringup robot.launch.py with namespace and params, beside arms and an endoscope below /dvrk")


def managed(node):
    """`--managed`: a node waits unconfigured for whoever manages it, tells of its transitions, and ends when it is shut down."""
    told = []
    listener = node.create_subscription(TransitionEvent, "/fusion/transition_event", told.append, 10)
    fusion = Run("fusion", "--managed")
    try:
        until("the managed node", lambda: "/fusion" in ros2("lifecycle", "nodes"))
        assert "unconfigured [1]" in ros2("lifecycle", "get", "/fusion")
        until("its events", lambda: node.count_publishers("/fusion/transition_event"))
        for change in ("configure", "activate", "deactivate", "activate"):
            count = len(told)
            assert "Transitioning successful" in ros2("lifecycle", "set", "/fusion", change), change
            until(f"the event of {change}", lambda: rclpy.spin_once(node, timeout_sec=0.1) or len(told) > count)
        ros2("lifecycle", "set", "/fusion", "configure", expect=None)  # Not from active: nothing to tell.
        assert "Transitioning successful" in ros2("lifecycle", "set", "/fusion", "shutdown")
        fusion.end()
    finally:
        fusion.stop()
        node.destroy_subscription(listener)
    events = [(e.transition.label, e.start_state.label, e.goal_state.label, e.goal_state.id) for e in told[:4]]
    up, down = ("activate", "inactive", "active", 3), ("deactivate", "active", "inactive", 2)
    assert events == [("configure", "unconfigured", "inactive", 2), up, down, up] and told[0].timestamp > 0, told
    fact("ros2 run proctor fusion --managed waits for configure and activate, tells of them on ~/transition_event, and ends at shutdown")


def launched_by_its_states():
    """launch_ros leads a node through its states, and hears by ~/transition_event where it is."""
    text = '''
from launch import LaunchDescription
from launch.actions import EmitEvent, RegisterEventHandler, Shutdown
from launch.events import matches_action
from launch.event_handlers import OnProcessStart
from launch_ros.actions import LifecycleNode
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from lifecycle_msgs.msg import Transition


def generate_launch_description():
    node = LifecycleNode(package="proctor", executable="autonomy", name="autonomy", namespace="", arguments=["--managed"], output="screen")

    def ask(transition):
        return EmitEvent(event=ChangeState(lifecycle_node_matcher=matches_action(node), transition_id=transition))

    return LaunchDescription([
        node,
        RegisterEventHandler(OnProcessStart(target_action=node, on_start=[ask(Transition.TRANSITION_CONFIGURE)])),
        RegisterEventHandler(OnStateTransition(target_lifecycle_node=node, goal_state="inactive", entities=[ask(Transition.TRANSITION_ACTIVATE)])),
        RegisterEventHandler(OnStateTransition(target_lifecycle_node=node, goal_state="active", entities=[Shutdown(reason="it is active")])),
    ])
'''
    with tempfile.NamedTemporaryFile("w", suffix=".launch.py") as file:
        file.write(text)
        file.flush()
        done = subprocess.run(["ros2", "launch", file.name], capture_output=True, text=True, timeout=PATIENCE)
    said = done.stdout + done.stderr
    assert done.returncode == 0 and "activate: inactive -> active" in said, said
    fact("a LifecycleNode of launch_ros goes from event to event until it is active")


def safety_takes_parameters_while_it_is_unconfigured(node):
    """Safety's limits change while there is no core to hold an arm by them, and at no other time."""
    def set_command(value):
        return ask(node, SetParameters, "/safety/set_parameters", parameters=messages(**{"watchdogs.command": value})).results[0]

    safety = Run("safety", "--managed")
    try:
        until("the managed node", lambda: "/safety" in ros2("lifecycle", "nodes"))
        assert "successful" in ros2("param", "set", "/safety", "watchdogs.command", "0.05")
        refused = set_command(0.2)
        assert not refused.successful and "watchdogs.command" in refused.reason, refused
        for change in ("configure", "activate", "deactivate"):
            assert "Transitioning successful" in ros2("lifecycle", "set", "/safety", change), change
            refused = set_command(0.06)
            assert not refused.successful and "unconfigured" in refused.reason, refused
        assert "Transitioning successful" in ros2("lifecycle", "set", "/safety", "cleanup")
        assert got(node, "safety", "watchdogs.command") == [0.05]
        assert set_command(0.06).successful and got(node, "safety", "watchdogs.command") == [0.06]
    finally:
        safety.stop()
    fact("ros2 param set /safety: taken while it is unconfigured, held against its range; refused from configure to cleanup")


def strangers_words(node):
    """Malformed bytes and NaN change nothing; anything on the e-stop's topic stops."""
    states = []
    latched = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    node.create_subscription(SafetyState, "/proctor/safety_state", states.append, latched)
    pictures = []
    node.create_subscription(Image, "/endoscope/left/image_rect", pictures.append, QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT))
    until("a picture in rclpy", lambda: rclpy.spin_once(node, timeout_sec=0.1) or bool(pictures))
    picture = pictures[-1]
    assert (picture.encoding, len(picture.data)) == ("rgb8", picture.height * picture.step) and picture.width >= 320, picture.header
    fact(f"rclpy receives pictures: {picture.width}x{picture.height} {picture.encoding}")
    until("the state", lambda: rclpy.spin_once(node, timeout_sec=0.1) or bool(states))
    before = states[-1].mode.value
    assert before == SafetyMode.DISABLED, before

    decision = node.create_publisher(Decision, "/proctor/decision", QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE))
    teleop = node.create_publisher(JointState, "/teleop/PSM1/servo_jp", QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT))
    until("readers", lambda: decision.get_subscription_count() and teleop.get_subscription_count())
    # Four bytes at least: CycloneDDS loses its own thread over a shorter payload, and sends nothing after it.
    for payload in (b"\x00\x01\x00\x00", b"\x00\x01\x00\x00" + b"\xff" * 64, b"\x00" * 4096):
        decision.publish(payload)
    decision.publish(Decision())
    nan = JointState(position=[float("nan")] * 6)
    for _ in range(20):
        teleop.publish(nan)
        rclpy.spin_once(node, timeout_sec=0.05)
    count = len(states)
    until("three more states", lambda: rclpy.spin_once(node, timeout_sec=0.1) or len(states) >= count + 3)
    assert states[-1].mode.value == before, states[-1]
    fact("malformed bytes, an unsealed decision and NaN from rclpy change nothing, and every node lives")

    stop = node.create_publisher(OperatorRequest, "/proctor/e_stop", QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE))
    until("a reader of the e-stop", stop.get_subscription_count)
    stop.publish(OperatorRequest())
    until("the e-stop", lambda: rclpy.spin_once(node, timeout_sec=0.1) or (states[-1].e_stop and states[-1].mode.value == SafetyMode.FAULT))
    fact("an empty message from rclpy on /proctor/e_stop stops everything")
    refused = ros2("lifecycle", "set", "/safety", "deactivate", expect=None)
    assert "successful" not in refused and "active [3]" in ros2("lifecycle", "get", "/safety"), refused
    fact("safety is not to be deactivated while it holds arms that are not disabled")


def names_and_parameters_from_ros(node):
    """`ros2 run` with namespace, name, remapping and parameter; and what is wrong with them ends the node by name."""
    line = ["-r", "__ns:=/room2", "-r", "__node:=gate", "-r", "PSM1/servo_jp:=/dvrk/servo_jp", "-p", "watchdogs.command:=0.05"]
    gate = Run("safety", "--ros-args", *line)
    try:
        infos = until("the remapped topic", lambda: node.get_publishers_info_by_topic("/dvrk/servo_jp") or None)
        assert [(i.node_name, i.node_namespace) for i in infos] == [("gate", "/room2")], infos
        assert node.get_publishers_info_by_topic("/room2/PSM2/servo_jp") and not node.get_publishers_info_by_topic("/room2/PSM1/servo_jp")
        assert "0.05" in ros2("param", "get", "/room2/gate", "watchdogs.command")
    finally:
        gate.stop()
    fact("ros2 run proctor safety with __ns, __node, a remapping and a parameter")
    for argument, named in (("watchdogs.commands:=0.05", "watchdogs.commands"), ("watchdogs.command:=0.2", "watchdogs.command"), ("watchdogs.command:=soon", "watchdogs.command")):
        said = ros2("run", "proctor", "safety", "--ros-args", "-p", argument, expect=None)
        assert named in said and "Error" not in said.split(named)[0], said
    fact("an unknown parameter, one out of range and one of another type end the node, by name")


def simulated_time(node):
    """A node with use_sim_time lives on /clock: it stands still without one, and stamps what it says with it."""
    clock = node.create_publisher(Clock, "/clock", QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT))
    states = []
    latched = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    listener = node.create_subscription(SafetyState, "/proctor/safety_state", states.append, latched)
    safety = Run("safety", "--ros-args", "-p", "use_sim_time:=true")
    try:
        until("a reader of /clock", clock.get_subscription_count)
        assert "True" in ros2("param", "get", "/safety", "use_sim_time")
        for _ in range(10):
            rclpy.spin_once(node, timeout_sec=0.1)
        assert not states, states[-1]
        shown = [1000]  # ms

        def tick():
            shown[0] += 1
            message = Clock()
            message.clock.sec, message.clock.nanosec = shown[0] // 1000, shown[0] % 1000 * 1_000_000
            clock.publish(message)
            rclpy.spin_once(node, timeout_sec=0.001)
            return len(states) >= 3

        until("states in simulated time", lambda: any(tick() for _ in range(100)))
        stamp = states[-1].stamp
        assert 1.0 <= stamp.sec + 1e-9 * stamp.nanosec <= shown[0] / 1000, (stamp, shown)
    finally:
        safety.stop()
        node.destroy_subscription(listener)
    fact(f"use_sim_time: safety stands still without /clock, and its stamps are the clock's ({stamp.sec}.{stamp.nanosec:09d} s)")


def main(proctor):
    launch = Launch("sim.launch.py", "console_port:=0", "camera_fps:=15")
    rclpy.init()
    node = rclpy.create_node("judge")
    try:
        until("the console", lambda: launch.said("console: http"))
        fact("ros2 launch proctor_bringup sim.launch.py: the console serves")
        tools()
        the_graph_is_the_table(node, graph(proctor))
        log(node)
        frames(node)
        parameters(node)
        lifecycle(node)
        strangers_words(node)
    except BaseException:
        print("".join(launch.lines[-60:]), file=sys.stderr)
        raise
    finally:
        launch.stop()
    fact("Ctrl-C ends every process of the launch")
    names_and_parameters_from_ros(node)
    robot(node)
    managed(node)
    launched_by_its_states()
    safety_takes_parameters_while_it_is_unconfigured(node)
    simulated_time(node)
    rclpy.shutdown()


if __name__ == "__main__":
    main(sys.argv[1])
