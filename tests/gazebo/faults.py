#!/usr/bin/env python3
"""Faults typed into a running demo, judged by its recording: each must be in what the robot says; perception must name a frozen, black or smoky picture, and
safety hold for what is wrong with joints, stamps and arms.

usage: faults.py PROCTOR FPS [ARGUMENT OF demo ...]      faults.py target/release/proctor 10 --sim gazebo

The scripted surgeon supervises meanwhile, and takes up supervision again after every hold. rosbags, which reads the recording, shares no code with Proctor.
A lag of the pictures or the joints shows in nothing but what fusion makes of motion, and is not judged here.
"""

from __future__ import annotations

import math
import re
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore

LONGEST = 900  # seconds for anything; pictures drawn by software make the simulation slower than the clock
ON, OFF = 1.5, 1.5  # seconds of pictures that a fault acts, and that all is well after it
LINES = 400  # last lines of the demo's log that are shown when something fails

# What is typed, on which arm, and what the safety node must hold for (Constraint.msg).
KINEMATICS_STALE, ARM_NOT_READY = 13, 25
FAULTS = [
    ("camera_frozen", None, None),
    ("camera_dropped", None, None),
    ("blackout", None, None),
    ("smoke", None, None),
    ("blood", None, None),
    ("joints_nan", "PSM1", KINEMATICS_STALE),
    ("joints_delayed", "PSM2", KINEMATICS_STALE),
    ("arm_silent", "ECM", KINEMATICS_STALE),
    ("clock_jump", None, KINEMATICS_STALE),
    ("arm_fault", "PSM1", ARM_NOT_READY),
]


class Demo:
    """A demo that records; its standard input takes faults."""

    def __init__(self, proctor: str, fps: float, arguments: list[str], record: Path) -> None:
        command = [proctor, "demo", "--scripted", "--seconds", str(LONGEST), "--console-port", "0", "--camera-fps", str(int(fps)), "--record", str(record)]
        self.fps, self.lines, self.progress = fps, [], ""
        self.wake = threading.Condition()
        self.process = subprocess.Popen(
            [*command, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        # The progress ends with a carriage return; universal newlines make a line of it.
        for line in self.process.stdout:
            with self.wake:
                if " executed " in line:
                    self.progress = line
                else:
                    self.lines.append(line)
                self.wake.notify_all()

    def until(self, what: str, seen) -> None:
        with self.wake:
            found = self.wake.wait_for(lambda: seen() or self.process.poll() is not None, LONGEST)
            assert found and seen(), f"{what}: not within {LONGEST} s\n{self.progress}" + "".join(self.lines[-LINES:])

    def counts(self, what: str) -> int:
        found = re.search(rf"(\d+) {what}", self.progress)
        return int(found[1]) if found else 0

    def wait(self, seconds: float) -> None:
        """Seconds of the pictures' time, as they are counted."""
        end = self.counts("pictures") + math.ceil(seconds * self.fps)
        self.until("pictures", lambda: self.counts("pictures") >= end)

    def type_all(self) -> None:
        self.until("a motion is executed", lambda: self.counts("executed") > 0)
        for name, arm, _ in FAULTS:
            for switch, seconds in (("on", ON), ("off", OFF)):
                self.process.stdin.write(f"fault {name} {switch} {arm or ''}\n")
                self.wait(seconds)

    def end(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(LONGEST)


class Recording:
    """What was said on a few topics, by the time at which it was recorded, s."""

    def __init__(self, file: Path) -> None:
        wanted = re.compile(r"/rosout|/endoscope/left/image_rect|/proctor/(segmentation|safety_state)|/(PSM1|PSM2|ECM)/(measured_js|operating_state)")
        self.said: dict[str, list] = {}
        with AnyReader([file], default_typestore=get_typestore(Stores.ROS2_JAZZY)) as reader:
            chosen = [c for c in reader.connections if wanted.fullmatch(c.topic)]
            for connection, at, raw in reader.messages(chosen):
                self.said.setdefault(connection.topic, []).append((at * 1e-9, reader.deserialize(raw, connection.msgtype)))

    def within(self, topic: str, span: tuple[float, float]) -> list:
        return [(at, message) for at, message in self.said.get(topic, []) if span[0] <= at < span[1]]

    def span(self, name: str) -> tuple[float, float]:
        """From when it was switched on to shortly before it was switched off: the log tells of it a little late."""
        at = [next(at for at, line in self.said["/rosout"] if line.msg == f"fault {name} {switch}") for switch in ("on", "off")]
        return at[0], at[1] - 0.2


def stamp(message) -> float:
    return message.header.stamp.sec + 1e-9 * message.header.stamp.nanosec


def shown(name: str, arm: str | None, span: tuple[float, float], recording: Recording, fps: float) -> str:
    """What the robot said while the fault acted, in words; an assertion if that is not the fault."""
    pictures = recording.within("/endoscope/left/image_rect", span)
    looks = [np.asarray(p.data).reshape(-1, 3).astype(float) for _, p in pictures[len(pictures) // 2 :]]
    joints = recording.within(f"/{arm}/measured_js", span)
    late = [at - stamp(joint) for at, joint in joints[len(joints) // 2 :]]
    reasons = sorted({s.quality.reason for _, s in recording.within("/proctor/segmentation", span)})
    match name:
        case "camera_frozen":
            same = sum(np.array_equal(a, b) for a, b in zip(looks, looks[1:]))
            times = [stamp(p) for _, p in pictures]
            assert same == len(looks) - 1 > 2 and times == sorted(set(times)), (same, len(looks))
            assert any("frozen" in r for r in reasons), reasons
            return "the same picture under new stamps; perception says frozen"
        case "camera_dropped":
            share = len(pictures) / (fps * (span[1] - span[0]))
            assert 0.2 < share < 0.8, share
            return f"{share:.0%} of the pictures came"
        case "blackout":
            assert all(look.max() == 0 for look in looks) and looks and any("blackout" in r for r in reasons), reasons
            return "black pictures; perception says blackout"
        case "smoke":
            assert any("smoke" in r for r in reasons), reasons
            return "perception says smoke"
        case "blood":
            before = recording.within("/endoscope/left/image_rect", (span[0] - OFF / 2, span[0]))
            clear = np.mean([np.asarray(p.data).reshape(-1, 3)[:, 1].mean() for _, p in before])
            green = np.mean([look[:, 1].mean() for look in looks])
            assert green < 0.9 * clear, (green, clear)
            return f"green falls from {clear:.0f} to {green:.0f} of 255; perception says {reasons}"
        case "joints_nan":
            assert joints and all(np.isnan(j.position).all() for _, j in joints[len(joints) // 2 :])
            return "joints are NaN"
        case "joints_delayed":
            assert late and min(late) > 0.19, late
            return f"joints are {min(late) * 1e3:.0f} ms old"
        case "arm_silent":
            rest = [j for at, j in joints if at > span[0] + 0.3]
            assert not rest, len(rest)
            return "no joints"
        case "clock_jump":
            ahead = [stamp(p) - at for at, p in pictures[len(pictures) // 2 :]]
            assert ahead and min(ahead) > 4.0, ahead
            return f"pictures are stamped {min(ahead):.1f} s ahead"
        case "arm_fault":
            states = {s.state for _, s in recording.within(f"/{arm}/operating_state", (span[0] + 0.3, span[1]))}
            assert states == {"FAULT"}, states
            return "the arm says FAULT"
    raise AssertionError(name)


def judge(recording: Recording, fps: float) -> list[str]:
    problems = []
    for name, arm, cause in FAULTS:
        span = recording.span(name)
        try:
            words = shown(name, arm, span, recording, fps)
            states = recording.within("/proctor/safety_state", span)
            assert states and not any(s.violations for _, s in states), "violations, or no safety node"
            if cause:
                held = [at for at, s in states if s.cause.value == cause]
                assert held, f"safety holds for {sorted({s.cause.value for _, s in states})}, expected {cause}"
                words += f"; safety holds for it {(held[0] - span[0]) * 1e3:.0f} ms later"
            print(f"  {name} {arm or ''}: {words}")
        except AssertionError as error:
            problems.append(f"{name}: {error}")
    return problems


def main() -> None:
    proctor, fps, *arguments = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "faults.mcap"
        demo = Demo(proctor, float(fps), arguments, record)
        try:
            demo.type_all()
        finally:
            demo.end()
        problems = judge(Recording(record), float(fps))
    assert not problems, "\n".join([*problems, *demo.lines[-LINES:]])
    print(f"faults: {len(FAULTS)} typed, each as it should be in what the robot says")


if __name__ == "__main__":
    main()
