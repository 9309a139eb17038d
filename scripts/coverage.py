"""Judges line coverage of nodes/safety: `coverage.py LCOV SOURCES` prints the lines of FILES that no test ran, and fails when one is not excused.

An excuse is a line's own text with the reason why no test can run it, in nodes/safety/uncovered.toml. An excuse that excuses nothing
fails too, so that the list stays as short as it can be. Lines of `#[cfg(test)]` modules do not count.
"""

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Filter, gate and state machine with what they are made of.
FILES = [
    "filter", "filter/aim", "filter/check", "filter/clearance", "gate", "gate_shapes", "scalar", "serial", "smooth", "braking", "player", "touch", "view", "remote_centre", "machine", "authority",
    "sessions",
]


def counts(lcov):
    """{file: {line: how often it ran}}, of every `DA` of every `SF`, summed."""
    found, file = {}, None
    for row in lcov.splitlines():
        if row.startswith("SF:"):
            file = found.setdefault(Path(row[3:]).resolve(), {})
        elif row.startswith("DA:"):
            line, n = row[3:].split(",")[:2]
            file[int(line)] = file.get(int(line), 0) + int(n)
    return found


def main():
    ran = counts(Path(sys.argv[1]).read_text())
    excuses = tomllib.loads((ROOT / "nodes/safety/uncovered.toml").read_text())["line"]
    used, missing = set(), 0
    for name in FILES:
        path = Path(sys.argv[2]).resolve() / f"{name}.rs"
        text = path.read_text().splitlines()
        end = next((i for i, l in enumerate(text, 1) if l.startswith("#[cfg(test)]")), len(text) + 1)
        lines = {n: c for n, c in ran.get(path, {}).items() if n < end}
        assert lines, f"{path} was not measured"
        bare = [n for n, c in sorted(lines.items()) if c == 0]
        excused = set()
        for n in bare:
            hits = [i for i, e in enumerate(excuses) if e["file"] == name and e["text"] == text[n - 1].strip()]
            if hits:
                excused.add(n)
                used.update(hits)
        open_ = [n for n in bare if n not in excused]
        missing += len(open_)
        whole = len(lines) - len(excused)
        print(f"{name}.rs: {whole - len(open_)} of {whole} lines, {len(excused)} excused")
        for n in open_:
            print(f"  {name}.rs:{n}: {text[n - 1].strip()}")
    idle = [e for i, e in enumerate(excuses) if i not in used]
    for e in idle:
        print(f"an excuse that excuses nothing: {e['file']}: {e['text']}")
    return 1 if missing or idle else 0


if __name__ == "__main__":
    sys.exit(main())
