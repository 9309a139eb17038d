"""The stack on four machines - robot, GPU box, console, router - each in a network namespace of its own, with certificates and access control.

What is tested: the whole loop over a slow and lossy line to the console; the line cut while a motion runs; the line mended while the surgeon
keeps still; a stranger with no certificate of ours; and a machine with a certificate that says what is not its to say. The robot's own recording
is the witness. Needs root; says so and stops where it has not. Results are one JSON object on the last line.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / "target/release"
LOGS = ROOT / "target/network"
ROUTER = "10.77.0.1"
MACHINES = {"router": ROUTER, "robot": "10.77.0.2", "gpu": "10.77.0.3", "console": "10.77.0.4", "stranger": "10.77.0.5"}
# How long after the line was cut the last command that moves an arm may come, s: presence is missed after 0.1 s, a stop takes less than 0.6 s.
STOPPED = 0.75
# How long the safety node, which says its state 50 times a second, may say nothing at any time, s.
SILENT = 0.5
# How long the surgeon may have to wait for a suggestion to hold, or a motion for its end, s.
HOLD = 120
PREFIX = "proctor-"


def sh(*words: str, check: bool = True) -> str:
    done = subprocess.run(words, capture_output=True, text=True)
    if check and done.returncode:
        raise SystemExit(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def inside(machine: str, *words: str) -> list[str]:
    return ["ip", "netns", "exec", PREFIX + machine, *words]


class Network:
    """Namespaces around a bridge; the console's line goes through a wire that can be worsened and cut."""

    def __enter__(self):
        self.close()
        for name in [*MACHINES, "switch"]:
            sh("ip", "netns", "add", PREFIX + name)
        sh(*inside("switch", "ip", "link", "add", "bridge", "type", "bridge"))
        sh(*inside("switch", "ip", "link", "set", "bridge", "up"))
        for name, address in MACHINES.items():
            sh("ip", "link", "add", "eth0", "netns", PREFIX + name, "type", "veth", "peer", "name", name, "netns", PREFIX + "switch")
            sh(*inside(name, "ip", "address", "add", f"{address}/24", "dev", "eth0"))
            for link in ("lo", "eth0"):
                sh(*inside(name, "ip", "link", "set", link, "up"))
            sh(*inside("switch", "ip", "link", "set", name, "up"))
            if name != "console":
                sh(*inside("switch", "ip", "link", "set", name, "master", "bridge"))
        sh(*inside("switch", "ip", "link", "add", "near", "type", "veth", "peer", "name", "far"))
        for link in ("near", "far"):
            sh(*inside("switch", "ip", "link", "set", link, "up"))
        sh(*inside("switch", "ip", "link", "set", "near", "master", "bridge"))
        wire = [sys.executable, str(Path(__file__).with_name("wire.py")), "far", "console"]
        self.wire = subprocess.Popen(inside("switch", *wire), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.wire.stdout.readline().strip() != "ready":
            raise SystemExit("the console's line does not come up")
        return self

    def line(self, command: str) -> int:
        """Worsens, cuts or mends the console's line; returns when, ns."""
        self.wire.stdin.write(command + "\n")
        self.wire.stdin.flush()
        return int(self.wire.stdout.readline().split()[-1])

    def close(self):
        for name in [*MACHINES, "switch"]:
            sh("ip", "netns", "delete", PREFIX + name, check=False)

    def __exit__(self, *_):
        self.wire.kill()
        self.close()


class Process:
    """A program on a machine; what it says is kept, can be waited for, and stands with the time in a file of LOGS."""

    started: list["Process"] = []

    def __init__(self, machine: str, *words: str):
        self.name = f"{machine}: {' '.join(Path(w).name for w in words[:3])}"
        self.lines: list[str] = []
        self.log = LOGS / f"{len(self.started):02} {machine} {Path(words[0]).name}.log"
        self.started.append(self)
        self.process = subprocess.Popen(
            inside(machine, *words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self) -> None:
        with self.log.open("w") as log:
            for line in self.process.stdout:
                self.lines.append(line)
                print(f"{time.time():.3f} {line}", end="", file=log, flush=True)

    def until(self, pattern: str, seconds: float, since: int = 0) -> re.Match:
        """The first line from number `since` on that matches."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for line in self.lines[since:]:
                if found := re.search(pattern, line):
                    return found
            if self.process.poll() is not None and not self.reader.is_alive():
                break
            time.sleep(0.02)
        said = "".join(f"{p.name}:\n{''.join(p.lines[-8:])}" for p in self.started)
        raise SystemExit(
            f"{said}FAILED: {self.name} did not say {pattern!r} within {seconds} s (exit {self.process.poll()}); all that was said is in {LOGS}"
        )

    def stop(self) -> int:
        self.process.send_signal(2)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def nanoseconds(stamp) -> int:
    return stamp.sec * 10**9 + stamp.nanosec


class Witness:
    """From the robot's recording: when commands moved an arm, who said they hold, what safety judged; ns, by the messages' own stamps."""

    def __init__(self, recording: Path):
        from rosbags.highlevel import AnyReader

        self.moves, self.presence, self.states = [], [], []
        last = {}
        with AnyReader([recording]) as reader:
            wanted = [c for c in reader.connections if c.topic.endswith(("servo_jp", "/presence", "/safety_state"))]
            for connection, _, data in reader.messages(wanted):
                message = reader.deserialize(data, connection.msgtype)
                if connection.topic == "/proctor/presence":
                    self.presence.append(message)
                elif connection.topic == "/proctor/safety_state":
                    self.states.append(nanoseconds(message.stamp))
                elif not connection.topic.startswith("/teleop"):
                    here = tuple(message.position)
                    if last.get(connection.topic, here) != here:
                        self.moves.append(nanoseconds(message.header.stamp))
                    last[connection.topic] = here
        self.moves.sort()

    def moving(self, start: int, end: int) -> int:
        return sum(start <= when < end for when in self.moves)

    def silence(self, start: int, end: int) -> float:
        """The longest time in which the safety node said nothing, s."""
        said = sorted({start, end, *(when for when in self.states if start < when < end)})
        return round(max(b - a for a, b in zip(said, said[1:])) / 10**9, 3)


class Test:
    """The machines' programs, and what is found out.

    All interruptions come before a motion has run to its end: once the gallbladder is held, nothing is left to suggest.
    """

    def __init__(self, folder: Path):
        self.folder, self.found = folder, {}
        keys, files = folder / "keys", folder / "files"
        sh(str(ROOT / "launch/network/certificates.sh"), str(keys), ROUTER)
        self.make_files(keys, files)
        self.authority = folder / "authority.key"
        sh(str(BIN / "proctor"), "authority-key", str(self.authority))
        self.files, self.recording = files, folder / "robot.mcap"

    def make_files(self, keys: Path, files: Path) -> None:
        sh(str(BIN / "proctor"), "network", "--router", f"{ROUTER}:7447", "--certificates", str(keys), "--out", str(files))

    def proctor(self, machine: str, *words: str) -> Process:
        return Process(machine, str(BIN / "proctor"), *words)

    def start(self) -> None:
        self.router = self.proctor("router", "router", str(self.files / "router.json5"))
        self.router.until("routing", 20)
        key = ["--authority-key", str(self.authority)]
        node = {
            "robot": ["sim", "safety", *key, "--camera-fps", "8", "--record", str(self.recording)],
            "gpu": ["perception", "fusion", "autonomy"],
            "console": ["console", *key, "--console-port", "8080"],
        }
        self.nodes = {
            name: self.proctor(name, "run", *words, "--session", str(self.files / f"{name}.json5")) for name, words in node.items()
        }
        for process in self.nodes.values():
            process.until("inactive -> active", 60)
        token = self.nodes["console"].until(r"token:? +(\S+)", 60)[1]
        self.surgeon = Process("console", str(BIN / "examples/surgeon"), "127.0.0.1:8080", token, "600")

    def cut(self, network: Network) -> None:
        """A motion is suggested, approved and held, the line to the console being slow and lossy. The line is cut while it runs, and mended
        while the surgeon keeps still."""
        begun = time.monotonic()
        self.surgeon.until('"holds"', HOLD)
        self.found["first_hold_s"] = round(time.monotonic() - begun, 1)
        time.sleep(0.3)
        self.cut_at = network.line("cut")
        time.sleep(2.0)
        self.surgeon.process.send_signal(19)
        self.mended_at = network.line("mend")
        time.sleep(8.0)
        self.resumed_at = time.time_ns()
        since = len(self.surgeon.lines)
        self.surgeon.process.send_signal(18)
        self.surgeon.until('"holds"', HOLD, since)
        time.sleep(1.0)

    def strangers(self) -> None:
        """Without a certificate of this network nothing is heard, and with another machine's only what is its own."""
        foreign = self.folder / "foreign"
        sh(str(ROOT / "launch/network/certificates.sh"), str(foreign / "keys"), ROUTER)
        self.make_files(foreign / "keys", foreign / "files")
        # The right authority's word for the router, but no certificate that it signed.
        shutil.copy(self.folder / "keys/ca.pem", foreign / "keys/ca.pem")
        intruder = str(BIN / "examples/intruder")
        plain = foreign / "plain.json5"
        plain.write_text(json.dumps({"mode": "client", "connect": {"endpoints": [f"tcp/{ROUTER}:7447"]}}))
        outside = [Process("stranger", intruder, str(file), "5") for file in (foreign / "files/gpu.json5", plain)]
        within = Process("stranger", intruder, str(self.files / "gpu.json5"), "6")
        self.intruded_at = time.time_ns()
        heard = json.loads(within.until('{"heard.*}', 60)[0])
        self.found["intruder"] = heard
        for stranger in outside:
            expect(stranger.process.wait(90) != 0, f"a stranger was let in: {stranger.lines}")
            expect(not any("connected" in line for line in stranger.lines), f"a stranger was let in: {stranger.lines}")
        # The same with the console's certificate: its words do arrive, so it is the router that kept the others out.
        control = Process("stranger", intruder, str(self.files / "console.json5"), "3")
        control.until('{"heard.*}', 60)

    def restart(self) -> None:
        """The router ends while that motion runs, and comes back; then a motion runs to its end."""
        self.ended_at = time.time_ns()
        self.router.process.kill()
        time.sleep(3.0)
        self.back_at = time.time_ns()
        since, ran = len(self.surgeon.lines), len(self.nodes["gpu"].lines)
        self.router = self.proctor("router", "router", str(self.files / "router.json5"))
        self.surgeon.until('"holds"', HOLD, since)
        self.nodes["gpu"].until("ran to its end", HOLD, ran)

    def stop(self) -> None:
        self.surgeon.process.kill()
        for process in [self.nodes["console"], self.nodes["gpu"], self.nodes["robot"], self.router]:
            process.stop()

    def judge(self) -> None:
        w = Witness(self.recording)
        found, second = self.found, 10**9
        before = w.moving(0, self.cut_at)
        after_cut = [m for m in w.moves if self.cut_at <= m < self.resumed_at]
        found["moves_before_the_cut"] = before
        found["last_move_after_the_cut_s"] = round((after_cut[-1] - self.cut_at) / second, 3) if after_cut else None
        expect(before > 100, f"only {before} commands moved an arm before the line was cut")
        expect(w.moving(self.cut_at - second // 5, self.cut_at) > 20, "no motion ran when the line was cut")
        expect(not after_cut or after_cut[-1] - self.cut_at < STOPPED * second, f"moved on after the cut: {found}")
        # One machine's line keeps no other machine waiting, least of all the safety node.
        found["safety_silent_s"] = {"line cut": w.silence(self.cut_at, self.resumed_at), "router gone": w.silence(self.ended_at, self.intruded_at)}
        expect(max(found["safety_silent_s"].values()) < SILENT, f"the safety node was kept waiting: {found}")
        held = [nanoseconds(p.stamp) for p in w.presence if p.held]
        found["moves_after_the_hold_came_back"] = w.moving(self.resumed_at, self.ended_at)
        expect(found["moves_after_the_hold_came_back"] > 50, f"did not recover with the surgeon: {found}")
        without = [m for m in w.moves if self.ended_at <= m < self.back_at]
        found["last_move_after_the_router_ended_s"] = round((without[-1] - self.ended_at) / second, 3) if without else None
        expect(not without or without[-1] - self.ended_at < STOPPED * second, f"moved on without the router: {found}")
        found["moves_after_the_router_came_back"] = w.moving(self.back_at, self.intruded_at)
        expect(found["moves_after_the_router_came_back"] > 50, f"did not recover with the router: {found}")
        expect(not any(self.cut_at + second // 5 < h < self.resumed_at for h in held), "a hold came through while the surgeon kept still")
        strangers = [p for p in w.presence if p.operator_id == 666]
        # The control, with the console's certificate, came last.
        early = [p for p in strangers if nanoseconds(p.stamp) < self.intruded_at + 2 * second]
        expect(not early, f"{len(early)} words of the intruder reached the robot")
        found["control_words_that_arrived"] = len(strangers)
        expect(strangers, "the control said nothing either: this test cannot tell")
        heard, sent = found["intruder"]["heard"], found["intruder"]["sent"]
        expect("/endoscope/left/image_rect" in heard, f"the GPU's certificate hears nothing: {heard}")
        # It hears what it says itself.
        secret = {t for t, count in heard.items() if t.endswith(("servo_jp", "/presence", "/request")) and count > sent}
        expect(not secret, f"the GPU's certificate hears {secret}")


def expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise SystemExit(f"FAILED: {otherwise}")


def not_permitted() -> str:
    """What this machine refuses of all that the test needs; empty if nothing."""
    if absent := [tool for tool in ("ip", "openssl") if not shutil.which(tool)]:
        return f"no {absent[0]}"
    probe = PREFIX + "probe"
    link = ["ip", "-n", probe, "link", "add"]
    needed = [
        ["ip", "netns", "add", probe],
        [*link, "near", "type", "veth", "peer", "name", "far"],
        [*link, "switch", "type", "bridge"],
        ["ip", "netns", "exec", probe, "true"],
    ]
    done = (subprocess.run(words, capture_output=True, text=True) for words in needed)
    refused = next((f"{' '.join(d.args)}: {d.stderr.strip()}" for d in done if d.returncode), "")
    subprocess.run(["ip", "netns", "delete", probe], capture_output=True)
    return refused


def main() -> None:
    if missing := not_permitted():
        print(f"skipped: network namespaces need root, Debian's iproute2 and openssl, and a kernel that has them ({missing})")
        return
    shutil.rmtree(LOGS, ignore_errors=True)
    LOGS.mkdir(parents=True)
    folder = Path(tempfile.mkdtemp(prefix="proctor-network-"))
    test = Test(folder)
    try:
        with Network() as network:
            for worse in ("delay 4", "jitter 2", "loss 0.0005"):
                network.line(worse)
            test.start()
            test.cut(network)
            test.restart()
            test.strangers()
            test.stop()
        test.judge()
    finally:
        subprocess.run(["pkill", "-f", str(folder)], check=False)
        if not os.environ.get("KEEP"):
            shutil.rmtree(folder)
    print(json.dumps(test.found))


main()
