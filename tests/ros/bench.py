"""What rclpy needs for the messages of crates/bus/benches/r2r.rs: publish, receive and decode in one process, one at a time.

Prints one JSON object per case: median and 99th percentile, milliseconds.
"""

import json
import statistics
import time

import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, JointState

LOST = 0.2  # seconds after which a best-effort message counts as lost and is said again


def measure(node, name, topic, message, count):
    qos = QoSProfile(depth=4, reliability=ReliabilityPolicy.BEST_EFFORT)
    heard = []
    publisher = node.create_publisher(type(message), topic, qos)
    node.create_subscription(type(message), topic, heard.append, qos)
    times = []
    for _ in range(count + 20):
        heard.clear()
        start = time.perf_counter()
        publisher.publish(message)
        while not heard:
            rclpy.spin_once(node, timeout_sec=LOST)
            if not heard:
                start = time.perf_counter()
                publisher.publish(message)
        times.append(1e3 * (time.perf_counter() - start))
    times = sorted(times[20:])
    row = {"case": name, "median_ms": statistics.median(times), "p99_ms": times[int(0.99 * len(times))], "messages": count}
    print(json.dumps(row), flush=True)


def main():
    rclpy.init()
    node = rclpy.create_node("bench")
    names = ["yaw", "pitch", "insertion", "roll", "wrist_pitch", "wrist_yaw"]
    joints = JointState(name=names, position=[0.1, -0.2, 0.16, 0.3, 0.4, 0.5], velocity=[0.0] * 6)
    measure(node, "rclpy/joints", "/rclpy/joints", joints, 1000)
    picture = Image(width=640, height=480, step=1920, encoding="rgb8", data=bytes([1, 2, 3]) * (640 * 480))
    measure(node, "rclpy/picture", "/rclpy/picture", picture, 100)
    rclpy.shutdown()


if __name__ == "__main__":
    main()
