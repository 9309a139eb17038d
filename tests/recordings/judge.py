#!/usr/bin/env python3
"""Recordings written by rosbags in every format: `proctor fuse` must say of them what it says of the same pictures and joints in a folder.

usage: judge.py PROCTOR FOLDER MOVED      FOLDER, and MOVED with an endoscope that moves: left/, right/, poses.csv, PSM1.toml, PSM2.toml as
nodes/proctor/tests/fuse_pictures.rs writes them

rosbags shares no code with Proctor. Estimates of lossless pictures must be the same texts, line for line. Then bags in which something is wrong:
each must be read as far as it is whole, or be refused in words that name it.
"""

from __future__ import annotations

import csv
import json
import shutil
import struct
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin
from rosbags.rosbag2 import Writer as Writer2
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

PAIRS = 24
CAMERA = (560.0, 560.0, 319.5, 239.5, 0.0052, 640, 480)
PINHOLE = '{},{},{},{},{},{},{}'.format(*CAMERA[:4], CAMERA[4] * 1e3, *CAMERA[5:])
JOINTS = ['outer_yaw', 'outer_pitch', 'outer_insertion', 'outer_roll', 'outer_wrist_pitch', 'outer_wrist_yaw']
ECM_JOINTS = ['outer_yaw', 'outer_pitch', 'outer_insertion', 'outer_roll']
OTHER = ['PSM2=LARGE_NEEDLE_DRIVER_420006', 'PSM1=LARGE_NEEDLE_DRIVER_400006']

ROS1, ROS2 = get_typestore(Stores.ROS1_NOETIC), get_typestore(Stores.ROS2_JAZZY)
problems: list[str] = []


def check(condition: bool, text: str) -> None:
    if not condition:
        problems.append(text)


def ns(text: str) -> int:
    """Seconds of a table or a picture's name as Proctor reads them."""
    return round(float(text) * 1e9)


class Source:
    """The recording as it is in the folder."""

    def __init__(self, folder: Path) -> None:
        names = sorted((p.name for p in (folder / 'left').iterdir()), key=lambda n: float(n[:-4]))[:PAIRS]
        self.names = names
        self.pictures = {side: [cv2.imread(str(folder / side / n)) for n in names] for side in ('left', 'right')}
        self.stamps = [ns(n[:-4]) for n in names]
        with (folder / 'poses.csv').open() as file:
            self.rows = [r for r in csv.DictReader(file) if ns(r['stamp']) < self.stamps[-1] + 700_000_000]

    def write_folder(self, folder: Path, origin: Path) -> None:
        for side in ('left', 'right'):
            (folder / side).mkdir(parents=True)
            for name in self.names:
                shutil.copy(origin / side / name, folder / side / name)
        with (folder / 'poses.csv').open('w') as file:
            writer = csv.DictWriter(file, self.rows[0].keys())
            writer.writeheader()
            writer.writerows(self.rows)


def header(store, stamp: int, frame: str, seq: int):
    time = store.types['builtin_interfaces/msg/Time'](sec=stamp // 10**9, nanosec=stamp % 10**9)
    kind = store.types['std_msgs/msg/Header']
    return kind(seq=seq, stamp=time, frame_id=frame) if store is ROS1 else kind(stamp=time, frame_id=frame)


def messages(store, source: Source, *, encoding: str = 'rgb8', rectified: bool = True, late: int = 3_000_000):
    """Topic, type, log time and message, in the order of their log times: a few ms after their stamps."""
    types, out = store.types, []
    fx, fy, cx, cy, baseline, width, height = CAMERA
    for side, offset in (('left', 0.0), ('right', -fx * baseline)):
        space = f'/stereo/{side}'
        numbers = dict(
            k=np.array([fx, 0, cx, 0, fy, cy, 0, 0, 1]),
            r=np.eye(3).ravel(),
            p=np.array([fx, 0, cx, offset, 0, fy, cy, 0, 0, 0, 1, 0]),
            d=np.zeros(5),
        )
        if store is ROS1:
            numbers = {name.upper(): value for name, value in numbers.items()}
        roi = types['sensor_msgs/msg/RegionOfInterest'](x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
        for seq, (stamp, picture) in enumerate(zip(source.stamps, source.pictures[side])):
            head = header(store, stamp, f'{side}_optical', seq)
            info = types['sensor_msgs/msg/CameraInfo'](
                header=head, height=height, width=width, distortion_model='plumb_bob', binning_x=0, binning_y=0, roi=roi, **numbers
            )
            out.append((f'{space}/camera_info', stamp + late, info))
            name = f'{space}/image_rect_color' if rectified else f'{space}/image_raw'
            if encoding == 'png':
                data = np.frombuffer(cv2.imencode('.png', picture)[1].tobytes(), np.uint8)
                image = types['sensor_msgs/msg/CompressedImage'](header=head, format='bgr8; png compressed bgr8', data=data)
                out.append((f'{name}/compressed', stamp + late, image))
                continue
            pixels = picture if encoding == 'bgr8' else cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
            image = types['sensor_msgs/msg/Image'](
                header=head, height=height, width=width, encoding=encoding, is_bigendian=0, step=3 * width, data=pixels.reshape(-1)
            )
            out.append((name, stamp + late, image))
    joint_state = types['sensor_msgs/msg/JointState']
    for seq, row in enumerate(source.rows):
        stamp, none = ns(row['stamp']), np.zeros(0)
        head = header(store, stamp, '', seq)
        names = ECM_JOINTS if row['arm'] == 'ECM' else JOINTS
        q = np.array([float(row[f'q{i}']) for i in range(1, len(names) + 1)])
        out.append((f"/{row['arm']}/measured_js", stamp + late, joint_state(head, names, q, none, none)))
        if row['arm'] != 'ECM':
            out.append((f"/{row['arm']}/jaw/measured_js", stamp + late, joint_state(head, ['jaw'], np.array([float(row['jaw'])]), none, none)))
    # Something that nobody asked for.
    text = types['std_msgs/msg/String']
    out.extend(('/chatter', stamp, text(data='hello')) for stamp in source.stamps)
    return sorted(out, key=lambda m: m[1])


def fill(writer, content, store, serialize) -> None:
    with writer:
        connections = {}
        for topic, stamp, message in content:
            kind = message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=store)
            writer.write(connections[topic], stamp, serialize(message, kind))


def write2(path: Path, content, *, plugin=StoragePlugin.MCAP, mode=CompressionMode.NONE, store=ROS2) -> None:
    writer = Writer2(path, version=9, storage_plugin=plugin)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    fill(writer, content, store, store.serialize_cdr)


def write1(path: Path, content, compression=None, store=ROS1) -> None:
    writer = Writer1(path)
    if compression:
        writer.set_compression(compression)
    fill(writer, content, store, store.serialize_ros1)


class Fuse:
    """Runs `proctor fuse`."""

    def __init__(self, proctor: Path, origin: Path, scratch: Path) -> None:
        self.proctor, self.scratch = proctor, scratch
        self.bases = [x for arm in ('PSM1', 'PSM2') for x in ('--hand-eye', f'{arm}={origin / arm}.toml')]

    def run(self, recording: Path, name: str, *extra: str) -> subprocess.CompletedProcess:
        command = [self.proctor, 'fuse', recording, *self.bases, '--out', self.scratch / f'out_{name}', '--threads', '1', *extra]
        return subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False)

    def estimates(self, recording: Path, name: str, *extra: str) -> tuple[list[str], str]:
        result = self.run(recording, name, *extra)
        if result.returncode != 0:
            problems.append(f'{name}: exit {result.returncode}: {result.stderr[-600:]}')
            return [], ''
        return (self.scratch / f'out_{name}' / 'estimates.csv').read_text().splitlines(), result.stdout


def same(name: str, got: list[str], want: list[str]) -> None:
    check(len(got) == len(want), f'{name}: {len(got)} lines of estimates, {len(want)} expected')
    for number, (g, w) in enumerate(zip(got, want), 1):
        if g != w:
            problems.append(f'{name}, line {number} of the estimates:\n  {g}\nexpected\n  {w}')
            return


def judge_formats(fuse: Fuse, source: Source, origin: Path, scratch: Path) -> int:
    """Every format against the folder."""
    folder = scratch / 'folder'
    source.write_folder(folder, origin)
    want, _ = fuse.estimates(folder, 'folder', '--pinhole', PINHOLE)
    check(len(want) > 2 * PAIRS - 8, f'only {len(want)} lines of estimates from the folder')
    check(sum(1 for line in want if ',aligned,' in line or ',converging,' in line) > PAIRS, 'the folder is not tracked')

    two, one = messages(ROS2, source), messages(ROS1, source)
    write2(scratch / 'mcap', two)
    write2(scratch / 'mcap_zstd', two, mode=CompressionMode.STORAGE)
    write2(scratch / 'mcap_each', two, mode=CompressionMode.MESSAGE)
    write2(scratch / 'db3', messages(ROS2, source, encoding='bgr8'), plugin=StoragePlugin.SQLITE3)
    write2(scratch / 'db3_each', messages(ROS2, source, encoding='png'), plugin=StoragePlugin.SQLITE3, mode=CompressionMode.MESSAGE)
    write1(scratch / 'plain.bag', one)
    write1(scratch / 'bz2.bag', messages(ROS1, source, encoding='png'), Writer1.CompressionFormat.BZ2)
    write1(scratch / 'lz4.bag', messages(ROS1, source, encoding='bgr8', rectified=False), Writer1.CompressionFormat.LZ4)
    cases = {
        'mcap': scratch / 'mcap',
        'mcap_file': next((scratch / 'mcap').glob('*.mcap')),
        'mcap_zstd': scratch / 'mcap_zstd',
        'mcap_each': scratch / 'mcap_each',
        'db3': scratch / 'db3',
        'db3_each': scratch / 'db3_each',
        'plain_bag': scratch / 'plain.bag',
        'bz2_bag': scratch / 'bz2.bag',
        'lz4_bag': scratch / 'lz4.bag',
    }
    with ThreadPoolExecutor(2) as pool:
        results = dict(zip(cases, pool.map(lambda c: fuse.estimates(cases[c], c), cases)))
    for name, (got, said) in results.items():
        # Raw pictures go through the (here: no) lens' map.
        same(name, got, want)
        for part in ('/stereo/left/', '/PSM1/measured_js', '/PSM2/jaw/measured_js', 'camera_info', f'{PAIRS} pairs of pictures'):
            check(part in said, f'{name}: {part!r} is not said aloud: {said}')
    # Per-arm instruments: the Si tool is 50.8 mm off, and only on the arm that was told so.
    other, _ = fuse.estimates(scratch / 'mcap', 'other_instrument', '--instrument', OTHER[0], '--instrument', OTHER[1])
    of = lambda lines, arm: [line for line in lines if f',{arm},' in line]  # noqa: E731
    same('PSM1 of another instrument on PSM2', of(other, 'PSM1')[:3], of(want, 'PSM1')[:3])
    check(of(other, 'PSM2')[:3] != of(want, 'PSM2')[:3], 'PSM2 does not know its instrument')
    return len(cases)


def judge_moved(fuse: Fuse, scratch: Path, origin: Path) -> None:
    """An endoscope that is moved is followed in a bag as in a table."""
    source, folder = Source(origin), scratch / 'moved'
    source.write_folder(folder, origin)
    write2(scratch / 'moved_mcap', messages(ROS2, source))
    write1(scratch / 'moved.bag', messages(ROS1, source))
    want, said = fuse.estimates(folder, 'moved', '--pinhole', PINHOLE)
    check('the endoscope was moved: its joints are followed' in said, f'a moved endoscope is not noticed: {said}')
    for name in ('moved_mcap', 'moved.bag'):
        same(name, fuse.estimates(scratch / name, name)[0], want)


def judge_segment(proctor: Path, scratch: Path) -> int:
    """`proctor segment` finds in a bag's pictures what it finds in the same files."""
    topic, every = '/stereo/left/image_rect_color', 8
    for name, source in (('bag', scratch / 'plain.bag'), ('files', scratch / 'folder' / 'left')):
        out = scratch / f'segment_{name}'
        command = [proctor, 'segment', source, '--out', out, '--threads', '1']
        command += ['--topic', topic, '--every', every] if name == 'bag' else []
        result = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False)
        check(result.returncode == 0, f'segment of {name}: exit {result.returncode}: {result.stderr[-300:]}')
    files = sorted((scratch / 'segment_files').glob('*_labels.png'), key=lambda p: float(p.name.split('_')[0]))
    bag = sorted((scratch / 'segment_bag').glob('*_labels.png'))
    check(len(bag) == PAIRS // every and len(files) == PAIRS, f'{len(bag)} and {len(files)} label pictures')
    for got, want in zip(bag, files[::every]):
        check(got.read_bytes() == want.read_bytes(), f'{got.name} of the bag is not {want.name} of the files')
    result = subprocess.run([str(proctor), 'segment', str(scratch / 'plain.bag'), '--out', str(scratch / 'no')], capture_output=True, text=True, check=False)
    check(result.returncode != 0 and topic in result.stderr and '--topic' in result.stderr, f'two cameras: {result.stderr[-300:]}')
    return len(bag)


def refused(name: str, result: subprocess.CompletedProcess, *parts: str) -> None:
    text = result.stderr
    check(result.returncode == 1 and 'panicked' not in text, f'{name}: exit {result.returncode}: {text[-400:]}')
    for part in parts:
        check(part in text, f'{name}: {part!r} is not in {text[-400:]!r}')


def judge_damage(fuse: Fuse, source: Source, scratch: Path) -> int:
    """Bags in which something is wrong."""
    good = (scratch / 'plain.bag').read_bytes()
    done = 0

    def bag(name: str, data: bytes) -> Path:
        nonlocal done
        done += 1
        path = scratch / f'{name}.bag'
        path.write_bytes(data)
        return path

    # Cut off in the middle: what is there is tracked, and that it ends early is said.
    got, said = fuse.estimates(bag('half', good[: len(good) // 2]), 'half')
    check('cut off' in said and 2 < len(got) < 2 * PAIRS - 2, f'half a bag: {len(got)} lines, {said[:300]}')
    # An index that points to nowhere changes nothing.
    at = good.index(b'index_pos=') + len(b'index_pos=')
    lost = bag('index', good[:at] + struct.pack('<Q', 12_345) + good[at + 8 :])
    same('wrong index', fuse.estimates(lost, 'index')[0], fuse.estimates(scratch / 'plain.bag', 'again')[0])
    refused('a length of 4 GB', fuse.run(bag('long', good[:13] + b'\xff' * 4 + good[17:]), 'long'), 'long.bag, byte 13', '4294967295 bytes')
    joints = bytes.fromhex('3066dcd76a6cfaef579bd0f34173e9fd').hex().encode()
    refused('a wrong md5', fuse.run(bag('md5', good.replace(joints, b'0' * 32)), 'md5'), 'no arm')
    refused('no bag', fuse.run(bag('text', b'#ROSBAG V1.1\n' + good[13:]), 'text'), 'version 1.1')

    def content(change, name: str, *extra: str) -> subprocess.CompletedProcess:
        nonlocal done
        done += 1
        path = scratch / name
        write2(path, sorted(filter(None, map(change, messages(ROS2, source))), key=lambda m: m[1]))
        return fuse.run(path, name, *extra)

    refused('no right camera', content(lambda m: None if 'right' in m[0] else m, 'one_eye'), '--left', '/stereo/left/image_rect_color')
    refused('no arms', content(lambda m: None if 'PSM' in m[0] else m, 'armless'), 'PSM1/measured_js', 'armless')
    refused('no cameras', content(lambda m: None if 'info' in m[0] else m, 'blind'), '--camera-info', '/stereo/left/image_rect_color')
    refused(
        'a topic that is not there',
        fuse.run(scratch / 'mcap', 'absent', '--left', '/nose/left/image', '--right', '/nose/right/image'),
        '/nose/left/image is not in the recording',
        '/stereo/left/image_rect_color',
    )

    def millimetres(m):
        if m[0] == '/PSM1/measured_js':
            m[2].position[2] *= 1000
        return m

    refused('millimetres', content(millimetres, 'millimetres'), '/PSM1/measured_js, message 1')

    def uncalibrated(m):
        if m[0] == '/stereo/right/camera_info':
            m[2].p[:] = 0
        return m

    refused('an uncalibrated camera', content(uncalibrated, 'uncalibrated'), '/stereo/right/camera_info', 'not calibrated')

    def backwards(m):
        if m[0] == '/PSM1/measured_js':  # whose header is the jaw's, too
            stamp = m[2].header.stamp
            now = stamp.sec * 10**9 + stamp.nanosec
            back = 2 * 10**12 - now
            stamp.sec, stamp.nanosec = back // 10**9, back % 10**9
        return m

    refused('a clock that runs backwards', content(backwards, 'backwards'), 'go back in time', '/PSM1/measured_js')

    # One second in the middle repeats itself: the samples are left out by number, the rest is tracked.
    def stutter(m):
        if m[0] == '/PSM2/measured_js' and source.stamps[8] < m[1] < source.stamps[12]:
            stamp = m[2].header.stamp
            now = stamp.sec * 10**9 + stamp.nanosec - 300_000_000
            stamp.sec, stamp.nanosec = now // 10**9, now % 10**9
        return m

    result = content(stutter, 'stutter')
    rejected = scratch / 'out_stutter' / 'rejected.csv'
    check(result.returncode == 0 and rejected.exists(), f'stutter: {result.stderr[-300:]}')
    check(rejected.exists() and '/PSM2/measured_js,' in rejected.read_text(), 'repeated joints are not named by topic and number')

    # One picture is broken: it alone is left out.
    broken = [0]

    def one_broken(m):
        if m[0] == '/stereo/left/image_rect_color':
            broken[0] += 1
            if broken[0] == 6:
                m[2].encoding = 'nonsense'
        return m

    got = content(one_broken, 'broken')
    rejected = scratch / 'out_broken' / 'rejected.csv'
    check(got.returncode == 0 and rejected.exists() and 'nonsense' in rejected.read_text(), f'a broken picture: {got.stderr[-300:]}')
    return done


def judge_shadow(proctor: Path, scratch: Path) -> int:
    """`proctor shadow` on a ROS 1 bag and on the same as MCAP and SQLite: a careless command must be found, and the same report given."""
    store1, store2 = get_typestore(Stores.ROS1_NOETIC), get_typestore(Stores.ROS2_JAZZY)
    text = 'std_msgs/Header header\nstring state\nbool is_homed\nbool is_busy\n'
    store1.register(get_types_from_msg(text, 'crtk_msgs/msg/operating_state'))
    store2.register(get_types_from_msg(text, 'crtk_msgs/msg/OperatingState'))
    reports = {}

    def session(store, state_type: str):
        out, none = [], np.zeros(0)
        kind, state = store.types['sensor_msgs/msg/JointState'], store.types[state_type]
        time = lambda ms, seq: (  # noqa: E731
            store.types['std_msgs/msg/Header'](*([seq] if store is store1 else []), store.types['builtin_interfaces/msg/Time'](1000 + ms // 1000, ms % 1000 * 10**6), '')
        )
        for ms in range(0, 3000, 5):
            at = 1000 * 10**9 + ms * 10**6
            for arm, q in (('PSM1', [0.0, 0.0, 0.12, 0.0, 0.0, 0.0]), ('PSM2', [0.0, 0.0, 0.12, 0.0, 0.0, 0.0]), ('ECM', [0.0, 0.0, 0.11, 0.0])):
                names, q = JOINTS[: len(q)], np.array(q)
                out.append((f'/{arm}/measured_js', at, kind(time(ms, ms), names, q, np.zeros(len(q)), none)))
                if arm != 'ECM':
                    out.append((f'/{arm}/jaw/measured_js', at, kind(time(ms, ms), ['jaw'], np.array([0.4]), np.zeros(1), none)))
                if ms % 20 == 0:
                    out.append((f'/{arm}/operating_state', at, state(time(ms, ms), 'ENABLED', True, False)))
                if arm == 'PSM1':
                    goal = q.copy()
                    goal[0] += 0.5 if ms >= 2000 else 0.0
                    out.append(('/PSM1/servo_jp', at + 1, kind(time(ms, ms), [], goal, none, none)))
        return sorted(out, key=lambda m: m[1])

    write1(scratch / 'shadow.bag', session(store1, 'crtk_msgs/msg/operating_state'), Writer1.CompressionFormat.LZ4, store1)
    two = session(store2, 'crtk_msgs/msg/OperatingState')
    write2(scratch / 'shadow_mcap', two, store=store2)
    write2(scratch / 'shadow_db3', two, plugin=StoragePlugin.SQLITE3, store=store2)
    for name in ('shadow.bag', 'shadow_mcap', 'shadow_db3'):
        report = scratch / f'{name}.json'
        command = [proctor, 'shadow', scratch / name, '--intent', 'servo-jp', '--json', report]
        result = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False)
        check(result.returncode == 0, f'{name}: exit {result.returncode}: {result.stderr[-400:]}')
        reports[name] = json.loads(report.read_text()) if report.exists() else {}
    first = reports['shadow.bag']
    jumps = [e for e in first.get('episodes', []) if e['constraint'] == 'jump']
    check(bool(jumps) and abs(jumps[0]['value'] - 0.5) < 1e-6 and abs(jumps[0]['from'] - 2.0) < 0.02, f'no jump: {json.dumps(first)[:600]}')
    for name, report in reports.items():
        check(report == first, f'{name}: another report than that of shadow.bag:\n{json.dumps(report)[:600]}\n{json.dumps(first)[:600]}')
    return len(reports)


def main() -> int:
    if len(sys.argv) != 4:
        print(__doc__, file=sys.stderr)
        return 2
    proctor, origin, moved = (Path(argument).resolve() for argument in sys.argv[1:])
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        source, fuse = Source(origin), Fuse(proctor, origin, scratch)
        formats = judge_formats(fuse, source, origin, scratch)
        judge_moved(fuse, scratch, moved)
        segmented = judge_segment(proctor, scratch)
        damage = judge_damage(fuse, source, scratch)
        shadows = judge_shadow(proctor, scratch)
    for problem in problems[:40]:
        print(f'judge: {problem}', file=sys.stderr)
    print(f'judge: {formats} formats like the folder, 2 with a moved endoscope, {damage} damaged or odd ones, {shadows} judged in shadow, {segmented} pictures segmented: {len(problems)} problems')
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
