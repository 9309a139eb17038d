"""The default bus, without ROS, against ROS's own Zenoh: nodes of `proctor run` behind the router of rmw_zenoh_cpp, and what judge.py asks of launched nodes asked of these.

Usage: zenoh.py PROCTOR, in an environment with ROS 2, rmw_zenoh_cpp and proctor_msgs sourced. PROCTOR needs no ROS. Every wait ends; a failure is an assertion.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile

PORT = socket.create_server(("127.0.0.1", 0)).getsockname()[1]
ROUTER = f"tcp/127.0.0.1:{PORT}"
# ROS's own tools and rclpy take the middleware from here. The router, too: one of two overrides is not its own.
os.environ["RMW_IMPLEMENTATION"] = "rmw_zenoh_cpp"
os.environ["ZENOH_CONFIG_OVERRIDE"] = f'connect/endpoints=["{ROUTER}"]'

import judge  # noqa: E402
import rclpy  # noqa: E402
from judge import fact, until  # noqa: E402


class Process:
    """A process whose lines are kept."""

    def __init__(self, *command, env=None):
        self.name, self.log = " ".join(command), tempfile.NamedTemporaryFile("w+", errors="replace")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=env, start_new_session=True)
        PROCESSES.append(self)

    def said(self, words):
        assert self.process.poll() is None, f"{self.name} ended ({self.process.returncode}):\n{self.text()}"
        return words in self.text()

    def text(self):
        with open(self.log.name, errors="replace") as log:
            return log.read()

    def stop(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(timeout=judge.PATIENCE)


PROCESSES = []


def main(proctor):
    # A daemon that is left from another run looks for that run's router.
    subprocess.run(["ros2", "daemon", "stop"], stdout=subprocess.DEVNULL, check=True)
    environment = {**os.environ, "ZENOH_CONFIG_OVERRIDE": f'listen/endpoints=["{ROUTER}"]'}
    router = Process("ros2", "run", "rmw_zenoh_cpp", "rmw_zenohd", env=environment)
    until("the router", lambda: router.said("Started Zenoh router"))
    own = {"sim": ["--camera-fps", "15"], "console": ["--console-port", "0"]}
    # Nothing of ROS for these, but what an executable that can do both is linked with.
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("AMENT", "RMW", "ZENOH", "PYTHON"))}
    nodes = [Process(proctor, "run", node, "--bus", "hiroz", "--connect", ROUTER, *own.get(node, []), env=plain) for node in sorted(judge.NODES)]
    judge.NAMES_AND_STAMPS = False
    rclpy.init()
    node = rclpy.create_node("judge")
    try:
        for process in nodes:
            until(process.name, lambda process=process: process.said("inactive -> active"))
        fact("proctor run, a process per node, on Zenoh alone, behind ROS's router")
        judge.tools()
        judge.the_graph_is_the_table(node, judge.graph(proctor))
        judge.log(node)
        judge.frames(node)
        judge.parameters(node)
        judge.lifecycle(node)
        judge.strangers_words(node)
    except BaseException:
        for process in PROCESSES:
            print(f"== {process.name}\n" + "\n".join(process.text().splitlines()[-12:]), file=sys.stderr)
        raise
    finally:
        subprocess.run(["ros2", "daemon", "stop"], stdout=subprocess.DEVNULL, check=False)
        codes = {process.name: process.stop() for process in reversed(PROCESSES)}
    assert all(codes[process.name] == 0 for process in nodes), codes
    fact("Ctrl-C ends every node")
    rclpy.shutdown()


if __name__ == "__main__":
    main(sys.argv[1])
