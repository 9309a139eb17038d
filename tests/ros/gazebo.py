"""`gazebo.launch.py` on the sourced ROS 2, before a real Gazebo server: does the robot come up, and does the loop see it, on the server's clock?

Usage: gazebo.py, in an environment with ROS 2, Proctor's packages and a Gazebo. Every wait ends; a failure is an assertion.
"""

import os
import sys
import time

from crtk_msgs.msg import OperatingState
import judge
from judge import Launch, fact, until
from proctor_msgs.msg import OperatorRequest, SafetyMode, SafetyState, Scene
import rclpy
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image

LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
NEWEST = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
judge.PATIENCE = 300  # Pictures drawn by software make the simulation several times slower than the clock on the wall.
FPS = 10
WATCHED = 20  # seconds of the clock on the wall over which rates are measured


def seconds(stamp):
    return stamp.sec + 1e-9 * stamp.nanosec


def main():
    # This test's own simulation, which nobody else sees.
    partition = f"test-ros-{os.getpid()}"
    os.environ |= {"GZ_PARTITION": partition, "IGN_PARTITION": partition, "GZ_IP": "127.0.0.1", "IGN_IP": "127.0.0.1"}
    launch = Launch("gazebo.launch.py", "console_port:=0", f"camera_fps:={FPS}")
    rclpy.init()
    node = rclpy.create_node("gazebo_judge")
    clock, scenes, states, arms, pictures = [], [], [], {}, []
    node.create_subscription(Clock, "/clock", lambda m: clock.append(seconds(m.clock)), NEWEST)
    node.create_subscription(Scene, "/proctor/scene", scenes.append, NEWEST)
    node.create_subscription(SafetyState, "/proctor/safety_state", states.append, LATCHED)
    node.create_subscription(Image, "/endoscope/left/image_rect", lambda m: pictures.append(seconds(m.header.stamp)), NEWEST)
    for arm in ("PSM1", "PSM2", "ECM"):
        node.create_subscription(OperatingState, f"/{arm}/operating_state", lambda m, arm=arm: arms.__setitem__(arm, m.state), LATCHED)

    def wait(what, look):
        def looked():
            if launch.process.poll() is not None:
                launch.died()
            rclpy.spin_once(node, timeout_sec=0.1)
            return look() or None

        return until(what, looked)

    try:
        wait("/clock", lambda: clock)
        fact("ros2 launch proctor_bringup gazebo.launch.py: the server runs, /clock moves")
        wait("three CRTK arms", lambda: set(arms.values()) == {"DISABLED"} and len(arms) == 3)
        fact("PSM1, PSM2 and ECM stand where operations begin, DISABLED")
        wait("a scene with instruments and a surface", lambda: scenes and scenes[-1].instruments and scenes[-1].surface)
        wait("safety's state", lambda: states and states[-1].mode.value == SafetyMode.DISABLED)
        stamp, now = seconds(scenes[-1].header.stamp), clock[-1]
        assert 0 <= now - stamp < 2.0, (stamp, now)
        fact(f"a scene of {len(scenes[-1].surface)} points and {len(scenes[-1].instruments)} instruments, {now - stamp:.2f} s old by the server's clock")
        start, end = (time.monotonic(), clock[-1], len(pictures)), time.monotonic() + WATCHED
        while time.monotonic() < end:
            rclpy.spin_once(node, timeout_sec=0.1)
        wall, simulated, seen = time.monotonic() - start[0], clock[-1] - start[1], len(pictures) - start[2]
        assert simulated > 0 and seen > 0, (simulated, seen)
        steps = [b - a for a, b in zip(pictures[start[2]:], pictures[start[2] + 1:])]
        assert all(step > 0 for step in steps), steps
        fact(f"real-time factor {simulated / wall:.2f}, {seen / wall:.1f} pictures per second of the clock on the wall, {seen / simulated:.1f} per simulated second")
        stop = node.create_publisher(OperatorRequest, "/proctor/e_stop", QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE))
        wait("a reader of the e-stop", stop.get_subscription_count)
        stop.publish(OperatorRequest())
        wait("the e-stop", lambda: states[-1].e_stop and states[-1].mode.value == SafetyMode.FAULT)
        fact("an empty message on /proctor/e_stop stops everything")
    except BaseException:
        print("".join(launch.lines[-60:]), file=sys.stderr)
        raise
    finally:
        launch.stop()
    rclpy.shutdown()
    fact("Ctrl-C ends server and nodes")


if __name__ == "__main__":
    main()
