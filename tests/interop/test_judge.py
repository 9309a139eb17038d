#!/usr/bin/env python3
"""The judge must fail when anything differs: each damage below, done to a copy of FOLDER, has to make it fail.

usage: test_judge.py FOLDER
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

JUDGE = Path(__file__).with_name('judge.py')


def edit(folder: Path, change) -> None:
    path = folder / 'index.json'
    index = json.loads(path.read_text())
    change(index)
    path.write_text(json.dumps(index))


def wrong_hash(folder: Path) -> None:
    def change(index):
        text = index['types']['proctor_msgs/msg/Scene']
        index['types']['proctor_msgs/msg/Scene'] = text[:-1] + ('0' if text[-1] != '0' else '1')
    edit(folder, change)


def missing_type(folder: Path) -> None:
    edit(folder, lambda index: index['types'].pop('proctor_msgs/msg/Verdict'))


def wrong_service(folder: Path) -> None:
    edit(folder, lambda i: i['services'].update({'crtk_msgs/srv/TriggerOperatingState': 'RIHS01_' + '0' * 64}))


def wrong_value(folder: Path) -> None:
    def change(index):
        case = next(c for c in index['cases'] if c['type'] == 'proctor_msgs/msg/SafetyState')
        case['value']['tick'] ^= 1
    edit(folder, change)


def flipped_bit(folder: Path) -> None:
    index = json.loads((folder / 'index.json').read_text())
    case = next(c for c in index['cases'] if c['type'] == 'proctor_msgs/msg/Proposal')
    path = folder / case['file']
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def truncated(folder: Path) -> None:
    index = json.loads((folder / 'index.json').read_text())
    path = folder / index['cases'][0]['file']
    path.write_bytes(path.read_bytes()[:-1])


def lost_message(folder: Path) -> None:
    edit(folder, lambda index: index['published']['/proctor/verdict'].append(index['published']['/proctor/verdict'][0]))


def damaged_recording(folder: Path) -> None:
    path = folder / 'session.mcap'
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def main() -> int:
    source = Path(sys.argv[1])
    damages = [wrong_hash, missing_type, wrong_service, wrong_value, flipped_bit, truncated, lost_message, damaged_recording]
    blind = []
    for damage in damages:
        with tempfile.TemporaryDirectory() as scratch:
            copy = Path(scratch) / 'copy'
            shutil.copytree(source, copy)
            damage(copy)
            result = subprocess.run([sys.executable, JUDGE, copy], capture_output=True, text=True, check=False)
            if result.returncode != 1 or 'problems' not in result.stdout:
                blind.append(f'{damage.__name__}: exit {result.returncode}\n{result.stderr[-400:]}')
    for text in blind:
        print(f'the judge is blind to {text}', file=sys.stderr)
    print(f'judge: notices {len(damages) - len(blind)} of {len(damages)} damages')
    return 1 if blind else 0


if __name__ == '__main__':
    sys.exit(main())
