"""`gazebo.launch.py` on the sourced ROS 2, with a real Gazebo server: does the robot come up, does the loop see and move it, does everything end when it is asked to?

Usage: gazebo.py SURGEON, in an environment with ROS 2, Proctor's packages and a Gazebo; SURGEON is the scripted surgeon for a console of
another process (tests/examples/surgeon.rs). Every wait ends; a failure is an assertion.
"""

import os
from pathlib import Path
import re
import signal
import subprocess
import sys
import time

from crtk_msgs.msg import OperatingState
import judge
from judge import Launch, fact, ros2, until
from proctor_msgs.msg import OperatorRequest, SafetyMode, SafetyState, Scene
import rclpy
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image

LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
NEWEST = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
EVENTS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
judge.PATIENCE = 480  # Pictures drawn by software make the simulation several times slower than the clock on the wall.
FPS = 10
WATCHED = 20  # seconds of the clock on the wall over which rates are measured
NODES = (judge.NODES - {"sim"}) | {"gazebo"}
# This test's own simulation, which nobody else sees.
PARTITION = f"test-ros-{os.getpid()}"
ARGUMENTS = ("gazebo.launch.py", "console_port:=0", f"camera_fps:={FPS}")


def seconds(stamp):
    return stamp.sec + 1e-9 * stamp.nanosec


def servers():
    """Processes of a Gazebo server in this test's partition."""
    def ours(process):
        try:
            return b"cell.sdf" in (process / "cmdline").read_bytes() and f"IGN_PARTITION={PARTITION}".encode() in (process / "environ").read_bytes()
        except OSError:
            return False

    return [int(process.name) for process in Path("/proc").iterdir() if process.name.isdigit() and ours(process)]


def no_server_and_cleanly(launch, count):
    """So many processes of a launch that is over ended without an error, and no server is left."""
    cleanly = sum("process has finished cleanly" in line for line in launch.lines)
    assert cleanly == count and not servers(), f"{cleanly} of {count} processes, servers {servers()}\n" + "".join(launch.lines)


def ended_cleanly(launch):
    """Ctrl-C to the launch: every process ends by itself, without an error, and Gazebo with it."""
    launch.stop()
    no_server_and_cleanly(launch, len(NODES))


def ends_while_it_loads():
    """Ctrl-C ends everything also while the node `gazebo` waits for a server, here one that has been stopped."""
    node = rclpy.create_node("gazebo_judge")
    launch = Launch(*ARGUMENTS)
    try:
        (server,) = until("a server", lambda: launch.said("a Gazebo server loads the cell") and servers() or None)
        os.kill(server, signal.SIGSTOP)
        until("every node", lambda: set(node.get_node_names()) >= NODES)
        assert not launch.said("the Gazebo server runs")
    finally:
        ended_cleanly(launch)
        node.destroy_node()
    fact(f"Ctrl-C while the server still loads ends it and {len(NODES)} nodes, cleanly")


def ends_with_its_server():
    """A server that dies takes the launch down, and is named."""
    launch = Launch(*ARGUMENTS)
    try:
        until("a node on a server", lambda: launch.said("the Gazebo server runs") and any("[gazebo" in line and "-> active" in line for line in launch.lines))
        (server,) = servers()
        os.kill(server, signal.SIGKILL)
        launch.process.wait(timeout=judge.PATIENCE)
        launch.reader.join(timeout=10)
    finally:
        launch.process.send_signal(signal.SIGINT)
        launch.process.wait(timeout=judge.PATIENCE)
    assert any("the Gazebo server ended (signal: 9" in line for line in launch.lines), "".join(launch.lines)
    no_server_and_cleanly(launch, len(NODES) - 1)
    fact(f"a server that is killed ends the node gazebo, which says so, and with it the {len(NODES) - 1} others, cleanly")


class Eyes:
    """What ROS hears of the launched system."""

    def __init__(self, launch):
        self.launch, self.node = launch, rclpy.create_node("gazebo_judge")
        self.scenes, self.states, self.arms, self.pictures = [], [], {}, []
        listen = self.node.create_subscription
        listen(Scene, "/proctor/scene", self.scenes.append, NEWEST)
        listen(SafetyState, "/proctor/safety_state", self.states.append, LATCHED)
        listen(Image, "/endoscope/left/image_rect", lambda m: self.pictures.append(seconds(m.header.stamp)), NEWEST)
        for arm in ("PSM1", "PSM2", "ECM"):
            listen(OperatingState, f"/{arm}/operating_state", lambda m, arm=arm: self.arms.__setitem__(arm, m.state), LATCHED)

    def look(self, duration=0.5):
        end = time.monotonic() + duration
        while time.monotonic() < end:
            rclpy.spin_once(self.node, timeout_sec=0.05)

    def wait(self, what, seen):
        def looked():
            if self.launch.process.poll() is not None:
                self.launch.died()
            self.look()
            return seen() or None

        return until(what, looked)

    def now(self):
        """The server's time. Not listened to all the while: hundreds of ticks a second are much for Python."""
        ticks = []
        listener = self.node.create_subscription(Clock, "/clock", lambda m: ticks.append(seconds(m.clock)), NEWEST)
        self.wait("/clock", lambda: ticks)
        self.node.destroy_subscription(listener)
        return ticks[-1]

    @property
    def state(self):
        return self.states[-1]


def comes_up(eyes):
    before = eyes.now()
    assert eyes.now() > before
    fact("ros2 launch proctor_bringup gazebo.launch.py: the server runs, /clock moves")
    eyes.wait("three CRTK arms", lambda: len(eyes.arms) == 3 and set(eyes.arms.values()) == {"DISABLED"})
    fact("PSM1, PSM2 and ECM stand where operations begin, DISABLED")
    eyes.wait("a scene with instruments and a surface", lambda: eyes.scenes and eyes.scenes[-1].instruments and eyes.scenes[-1].surface)
    eyes.wait("safety's state", lambda: eyes.states and eyes.state.mode.value == SafetyMode.DISABLED)
    now, scene = eyes.now(), eyes.scenes[-1]
    assert -1.0 < now - seconds(scene.header.stamp) < 10.0, (scene.header.stamp, now)
    fact(f"/proctor/scene on the server's clock: {len(scene.surface)} points and {len(scene.instruments)} instruments; /proctor/safety_state: DISABLED")


def flows(eyes):
    """ROS's own tools see joints and pictures."""
    listed = set(ros2("topic", "list").split())
    assert listed >= {"/clock", "/PSM1/measured_js", "/PSM2/measured_js", "/ECM/measured_js", "/endoscope/left/image_rect", "/proctor/scene"}, listed
    echoed = ros2("topic", "echo", "--once", "/PSM1/measured_js")
    assert "position:" in echoed, echoed
    hz = subprocess.Popen(["ros2", "topic", "hz", "/PSM1/measured_js"], stdout=subprocess.PIPE, text=True)
    rate = until("a rate", lambda: re.search(r"average rate: ([\d.]+)", hz.stdout.readline()))
    hz.send_signal(signal.SIGINT)
    hz.wait(timeout=judge.PATIENCE)
    fact(f"ros2 topic list, echo and hz: /PSM1/measured_js comes at {rate.group(1)} Hz")
    wall, simulated, seen = time.monotonic(), eyes.now(), len(eyes.pictures)
    eyes.look(WATCHED)
    simulated, wall, steps = eyes.now() - simulated, time.monotonic() - wall, eyes.pictures[seen:]
    assert simulated > 0 and len(steps) > 1, (simulated, steps)
    assert all(a < b for a, b in zip(steps, steps[1:])), steps
    fact(f"real-time factor {simulated / wall:.2f}; {len(steps) / wall:.1f} left pictures per second of the clock on the wall, {len(steps) / simulated:.1f} per simulated second")


def moves(eyes, surgeon):
    """The scripted surgeon at the launched console: a motion runs to its end, and safety finds nothing wrong in what it sent."""
    said = {}
    for line in eyes.launch.lines:
        if found := re.search(r"console: http://([\d.:]+)|token: (\w+)", line):
            said |= {"address": found[1]} if found[1] else {"token": found[2]}
    patience = str(judge.PATIENCE)
    start, at_work = (time.monotonic(), eyes.now()), subprocess.Popen([surgeon, said["address"], said["token"], patience], stdout=subprocess.DEVNULL)
    try:
        eyes.wait("a motion that ran to its end", lambda: eyes.state.executed)
    except AssertionError as late:
        raise AssertionError(f"{late}; safety says {eyes.state}") from None
    finally:
        at_work.terminate()
        at_work.wait(timeout=judge.PATIENCE)
    assert eyes.state.violations == 0, eyes.state
    fact(
        f"the scripted surgeon: {eyes.state.executed} motion executed, {eyes.state.violations} violations, {eyes.state.refused} commands refused, "
        f"{eyes.now() - start[1]:.0f} simulated seconds in {time.monotonic() - start[0]:.0f} s"
    )


def stops(eyes):
    stop = eyes.node.create_publisher(OperatorRequest, "/proctor/e_stop", EVENTS)
    eyes.wait("a reader of the e-stop", stop.get_subscription_count)
    stop.publish(OperatorRequest())
    eyes.wait("the e-stop", lambda: eyes.state.e_stop and eyes.state.mode.value == SafetyMode.FAULT)
    fact("an empty message on /proctor/e_stop stops everything")


def main(surgeon):
    os.environ |= {"GZ_PARTITION": PARTITION, "IGN_PARTITION": PARTITION, "GZ_IP": "127.0.0.1", "IGN_IP": "127.0.0.1"}
    rclpy.init()
    ends_while_it_loads()
    ends_with_its_server()
    launch = Launch(*ARGUMENTS)
    eyes = Eyes(launch)
    try:
        comes_up(eyes)
        flows(eyes)
        moves(eyes, surgeon)
        stops(eyes)
    except BaseException:
        print("".join(launch.lines[-60:]), file=sys.stderr)
        raise
    finally:
        ended_cleanly(launch)
    rclpy.shutdown()
    fact(f"Ctrl-C ends the server and {len(NODES)} nodes, cleanly")


if __name__ == "__main__":
    main(sys.argv[1])
