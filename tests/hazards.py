"""Holds docs/hazards.toml against the tests: `hazards.py LOG` where LOG is the output of `cargo test`; `--update` writes SAFETY.md's readable form.

Fails when a cause has no test, a named test did not pass (or exists nowhere), a test of nodes/safety or of the whole loop is named by no
hazard, or SAFETY.md says something else than the file.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BEGIN = "<!-- hazards: from docs/hazards.toml by tests/hazards.py -->\n"
END = "<!-- end of hazards -->"
# Whose tests must all be named.
NAMED = [*(ROOT / "nodes/safety/tests").glob("*.rs"), *(ROOT / "nodes/safety/src").rglob("*.rs"), ROOT / "tests/tests/whole_loop.rs"]


def declared():
    """module::function of every test in the files whose tests must be named."""
    names = set()
    for path in NAMED:
        module = path.parent.name if path.stem == "mod" else path.stem
        for function in re.findall(r"#\[test\]\n(?:\s*#\[[^\n]*\]\n)*\s*fn (\w+)", path.read_text()):
            names.add(f"{module}::{function}")
    return names


def passed(log):
    """module::function of every test that cargo reports as passed."""
    names, source = set(), ""
    for line in log.splitlines():
        if running := re.search(r"Running (?:unittests )?(\S+\.rs) ", line):
            source = Path(running[1])
        elif result := re.fullmatch(r"test (\S+) \.\.\. ok", line):
            parts = [p for p in result[1].split("::") if p != "tests"]
            names.add("::".join(parts[-2:]) if len(parts) > 1 else f"{source.stem}::{parts[0]}")
    return names


def readable(hazards):
    lines = [BEGIN]
    for h in hazards:
        lines.append(f"- **{h['id']} {h['title']}** ({h['harm']})\n")
        for c in h["causes"]:
            n = len(c["tests"])
            lines.append(f"  - *{c['cause']}.* {c['mitigation']}. **{c['requirement']}.** ({n} test{'s' if n > 1 else ''})\n")
    return "".join(lines) + END


def main():
    hazards = tomllib.loads((ROOT / "docs/hazards.toml").read_text())["hazard"]
    safety = ROOT / "SAFETY.md"
    text = safety.read_text()
    before, rest = text.split(BEGIN)
    now, after = rest.split(END, 1)
    if "--update" in sys.argv:
        safety.write_text(before + readable(hazards) + after)
        return 0
    named = [t for h in hazards for c in h["causes"] for t in c["tests"]]
    ok = passed(Path(sys.argv[1]).read_text())
    problems = [f"{h['id']}: no test for: {c['cause']}" for h in hazards for c in h["causes"] if not c["tests"]]
    problems += [f"named by a hazard, but did not pass: {t}" for t in named if t not in ok]
    problems += [f"names no hazard: {t}" for t in sorted(declared() - set(named))]
    problems += [f"named twice: {t}" for t in sorted({t for t in named if named.count(t) > 1})]
    if BEGIN + now + END != readable(hazards):
        problems.append("SAFETY.md differs from docs/hazards.toml: run tests/hazards.py --update")
    print("\n".join(problems) or f"{len(hazards)} hazards, {sum(len(h['causes']) for h in hazards)} causes, {len(named)} tests: all passed, none unnamed")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
