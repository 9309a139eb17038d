"""What rclpy needs for the messages of crates/bus/benches/r2r.rs: publish, receive and decode in one process.

Prints one JSON object per case, as that bench does: latency at the topic's rate, and messages a second one at a time.
"""

import json
import time

import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, JointState

LOST = 0.2  # seconds after which a best-effort message counts as lost and is said again


def measure(node, name, message, hz, count):
    topic, qos = f"/{name}", QoSProfile(depth=4, reliability=ReliabilityPolicy.BEST_EFFORT)
    heard = []
    publisher = node.create_publisher(type(message), topic, qos)
    node.create_subscription(type(message), topic, heard.append, qos)
    lost = 0

    def cross():
        nonlocal lost
        heard.clear()
        while True:
            start = time.perf_counter()
            publisher.publish(message)
            rclpy.spin_once(node, timeout_sec=LOST)
            if heard:
                return 1e3 * (time.perf_counter() - start)
            lost += 1

    for _ in range(20):
        cross()
    lost, times, start = 0, [], time.perf_counter()
    for i in range(count):
        time.sleep(max(0.0, start + i / hz - time.perf_counter()))
        times.append(cross())
    times.sort()
    start = time.perf_counter()
    for _ in range(count):
        cross()
    row = {
        "case": name, "hz": hz, "median_ms": round(times[count // 2], 4), "p99_ms": round(times[int(0.99 * (count - 1))], 4),
        "per_s": round(count / (time.perf_counter() - start)), "messages": count, "lost": lost,
    }
    print(json.dumps(row), flush=True)


def main():
    rclpy.init()
    node = rclpy.create_node("bench")
    names = ["yaw", "pitch", "insertion", "roll", "wrist_pitch", "wrist_yaw"]
    joints = JointState(name=names, position=[0.1, -0.2, 0.16, 0.3, 0.4, 0.5], velocity=[0.0] * 6)
    measure(node, "rclpy/joints", joints, 1000.0, 5000)
    picture = Image(width=640, height=480, step=1920, encoding="rgb8", data=bytes([1, 2, 3]) * (640 * 480))
    measure(node, "rclpy/picture", picture, 30.0, 150)
    rclpy.shutdown()


if __name__ == "__main__":
    main()
