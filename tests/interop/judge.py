#!/usr/bin/env python3
"""Independent judge of what Proctor writes: rosbags, given only the .msg and .srv texts, must read the same values.

usage: judge.py FOLDER      FOLDER as written by `cargo run -p proctor-recorder --example interop -- FOLDER`

Checks, each of which fails the run:
- every .msg and .srv of msgs/ has a RIHS01 hash in FOLDER, equal to the one rosbags computes from the text;
- crtk_msgs' hashes are those of the published package's fields (written out below, not read from our files);
- every CDR file decodes to exactly the values listed for it, and encodes to the same bytes again;
- the recording opens, its embedded definitions are those of our files, and it holds exactly the messages published.
"""

from __future__ import annotations

import json
import math
import struct
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path

import numpy as np
from rosbags.interfaces import Nodetype
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ('proctor_msgs', 'crtk_msgs')
# The fields of collaborative-robotics/crtk_msgs 1.3.0, the package on real robots.
CRTK = {
    'crtk_msgs/msg/OperatingState': 'std_msgs/Header header\nstring state\nbool is_homed\nbool is_busy\n',
    'crtk_msgs/msg/StringStamped': 'std_msgs/Header header\nstring string\n',
}
CRTK_SERVICES = {
    'crtk_msgs/srv/TriggerOperatingState': ('', 'crtk_msgs/OperatingState operating_state\n'),
    'crtk_msgs/srv/QueryForwardKinematics': (
        'float64[] jp\ngeometry_msgs/Pose cp\n',
        'geometry_msgs/Pose cp\nbool result\nstring message\n',
    ),
    'crtk_msgs/srv/QueryInverseKinematics': (
        'geometry_msgs/Pose cp\nfloat64[] jp\n',
        'float64[] jp\nbool result\nstring message\n',
    ),
}

# What `ros2 lifecycle` asks for, by the published package's fields.
LIFECYCLE_SERVICES = {
    'lifecycle_msgs/srv/ChangeState': ('lifecycle_msgs/Transition transition\n', 'bool success\n'),
    'lifecycle_msgs/srv/GetState': ('', 'lifecycle_msgs/State current_state\n'),
    'lifecycle_msgs/srv/GetAvailableStates': ('', 'lifecycle_msgs/State[] available_states\n'),
    'lifecycle_msgs/srv/GetAvailableTransitions': (
        '', 'lifecycle_msgs/TransitionDescription[] available_transitions\n'),
}

# rosidl turns `char` of a .msg into uint8; rosbags keeps it, which changes the hash of every service.
SERVICE_EVENT_INFO = """
uint8 event_type
builtin_interfaces/Time stamp
uint8[16] client_gid
int64 sequence_number
"""
# rmw_zenoh's design document prints this hash: it anchors our description of services.
ADD_TWO_INTS = 'RIHS01_e118de6bf5eeb66a2491b5bda11202e7b68f198d6f67922cf30364858239c81a'

problems: list[str] = []


def check(condition: bool, text: str) -> None:
    if not condition:
        problems.append(text)


def same(path: str, got: object, want: object) -> None:
    """Compares a decoded value with JSON, bit for bit."""
    if is_dataclass(got):
        # rosbags keeps constants beside fields; ROS writes constants in upper case and fields in lower case.
        names = [f.name for f in fields(got) if f.name != '__msgtype__' and not f.name.isupper()]
        if not isinstance(want, dict) or set(names) != set(want):
            problems.append(f'{path}: fields {names}, expected {want!r:.80}')
            return
        for name in names:
            same(f'{path}.{name}', getattr(got, name), want[name])
    elif isinstance(got, (list, np.ndarray)):
        if not isinstance(want, list) or len(got) != len(want):
            problems.append(f'{path}: {len(got)} elements, expected {want!r:.80}')
            return
        for i, (g, w) in enumerate(zip(got, want)):
            same(f'{path}[{i}]', g, w)
    elif isinstance(got, (bool, np.bool_)):
        check(isinstance(want, bool) and bool(got) == want, f'{path}: {got}, expected {want}')
    elif isinstance(got, (float, np.floating)):
        ok = isinstance(want, (int, float)) and struct.pack('<d', float(got)) == struct.pack('<d', float(want))
        check(ok and math.isfinite(got), f'{path}: {got!r}, expected {want!r}')
    elif isinstance(got, (int, np.integer)):
        check(isinstance(want, int) and not isinstance(want, bool) and int(got) == want, f'{path}: {got}, expected {want}')
    elif isinstance(got, str):
        check(got == want, f'{path}: {got!r}, expected {want!r}')
    else:
        problems.append(f'{path}: a {type(got).__name__} was not expected')


def register_service(store, name: str, request: str, response: str) -> None:
    """rosidl's description of a service: request, response and the event that introspection publishes."""
    types = {}
    for part, text in (('Request', request), ('Response', response)):
        # rosbags' parser knows messages only, so it is parsed as one and filed under its own name.
        (parsed,) = get_types_from_msg(text, f'{name.split("/")[0]}/msg/{part}').values()
        types[f'{name}_{part}'] = parsed

    def one(what: str):
        return (Nodetype.SEQUENCE, ((Nodetype.NAME, f'{name}_{what}'), 1))

    types[f'{name}_Event'] = (
        [],
        [
            ('info', (Nodetype.NAME, 'service_msgs/msg/ServiceEventInfo')),
            ('request', one('Request')),
            ('response', one('Response')),
        ],
    )
    types[name] = (
        [],
        [
            ('request_message', (Nodetype.NAME, f'{name}_Request')),
            ('response_message', (Nodetype.NAME, f'{name}_Response')),
            ('event_message', (Nodetype.NAME, f'{name}_Event')),
        ],
    )
    store.register(types)


def jazzy():
    """rosbags' Jazzy types, with service events as rosidl describes them."""
    store = get_typestore(Stores.ROS2_JAZZY)
    event = 'service_msgs/msg/ServiceEventInfo'
    del store.fielddefs[event]
    store.register(get_types_from_msg(SERVICE_EVENT_INFO, event))
    return store


def our_store():
    """The standard types and ours, from the texts in msgs/."""
    store = jazzy()
    types, services = {}, {}
    for package in PACKAGES:
        for path in sorted((ROOT / 'msgs' / package / 'msg').glob('*.msg')):
            types.update(get_types_from_msg(path.read_text(), f'{package}/msg/{path.stem}'))
        for path in sorted((ROOT / 'msgs' / package / 'srv').glob('*.srv')):
            request, response = path.read_text().split('\n---\n')
            services[f'{package}/srv/{path.stem}'] = (request, response)
    store.register(types)
    services.update(LIFECYCLE_SERVICES)
    for name, (request, response) in services.items():
        register_service(store, name, request, response)
    return store, set(types), set(services)


def judge_hashes(store, ours: set[str], services: set[str], index: dict) -> None:
    check(len(ours) >= 28 and len(services) == 7, f'only {len(ours)} messages and {len(services)} services found')
    for name in ours - set(index['types']):
        problems.append(f'{name}: no hash was written')
    check(services == set(index['services']), f'services {sorted(index["services"])}, expected {sorted(services)}')
    for name, got in {**index['types'], **index['services']}.items():
        check(name in store.fielddefs, f'{name}: no such interface')
        if name in store.fielddefs:
            want = store.hash_rihs01(name)
            check(got == want, f'{name}: hash {got}, expected {want}')
    published = jazzy()
    register_service(published, 'example_interfaces/srv/AddTwoInts', 'int64 a\nint64 b\n', 'int64 sum\n')
    anchor = published.hash_rihs01('example_interfaces/srv/AddTwoInts')
    check(anchor == ADD_TWO_INTS, f'AddTwoInts: rosbags computes {anchor}, the world says {ADD_TWO_INTS}')
    for name, text in CRTK.items():
        published.register(get_types_from_msg(text, name))
    for name, (request, response) in CRTK_SERVICES.items():
        register_service(published, name, request, response)
    for name in [*CRTK, *CRTK_SERVICES]:
        got = {**index['types'], **index['services']}.get(name)
        want = published.hash_rihs01(name)
        check(got == want, f'{name}: hash {got}, but the published package has {want}')


def judge_cases(store, ours: set[str], index: dict, folder: Path) -> None:
    seen = set()
    for case in index['cases']:
        name, data = case['type'], (folder / case['file']).read_bytes()
        seen.add(name)
        try:
            value = store.deserialize_cdr(data, name)
            again = bytes(store.serialize_cdr(value, name))
        except Exception as error:  # noqa: BLE001: whatever rosbags says is a verdict
            problems.append(f'{case["file"]} ({name}): {type(error).__name__}: {error}')
            continue
        same(f'{case["file"]} ({name})', value, case['value'])
        check(again == data, f'{case["file"]} ({name}): rosbags writes other bytes for the same value')
    # Types that only live inside others are compared there.
    inside = {f'proctor_msgs/msg/{n}' for n in (
        'Arm', 'TissueClass', 'Skill', 'Constraint', 'SafetyMode', 'ToolKeypoint', 'Evidence', 'PlannedWith',
        'Trajectory', 'TrajectoryPoint')}
    for name in ours - seen - inside:
        problems.append(f'{name}: no bytes were written')


def judge_recording(store, index: dict, folder: Path) -> None:
    got: dict[str, list] = {}
    try:
        with Reader(folder / 'session.mcap') as reader:
            for connection in reader.connections:
                text = connection.msgdef.data
                check(bool(text.strip()), f'{connection.topic}: no definition in the recording')
                embedded = get_typestore(Stores.EMPTY)
                embedded.register(get_types_from_msg(text, connection.msgtype))
                want = store.hash_rihs01(connection.msgtype)
                have = embedded.hash_rihs01(connection.msgtype)
                check(have == want, f'{connection.topic}: the embedded definition has hash {have}, expected {want}')
            for connection, stamp, data in reader.messages():
                check(stamp == index['recorded_at'], f'{connection.topic}: logged at {stamp}')
                got.setdefault(connection.topic, []).append(store.deserialize_cdr(data, connection.msgtype))
    except Exception as error:  # noqa: BLE001
        problems.append(f'session.mcap: {type(error).__name__}: {error}')
    check(set(got) == set(index['published']), f'recorded topics {sorted(set(got) ^ set(index["published"]))} differ')
    for topic, want in index['published'].items():
        have = got.get(topic, [])
        check(len(have) == len(want), f'{topic}: {len(have)} messages recorded, {len(want)} published')
        for i, (h, w) in enumerate(zip(have, want)):
            same(f'{topic} #{i}', h, w)


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    folder = Path(sys.argv[1])
    index = json.loads((folder / 'index.json').read_text())
    store, ours, services = our_store()
    judge_hashes(store, ours, services, index)
    judge_cases(store, ours, index, folder)
    judge_recording(store, index, folder)
    for problem in problems[:50]:
        print(f'judge: {problem}', file=sys.stderr)
    published = sum(map(len, index['published'].values()))
    print(
        f'judge: {len(index["types"])} message hashes, {len(index["services"])} service hashes, '
        f'{len(index["cases"])} messages, {published} recorded: {len(problems)} problems'
    )
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
