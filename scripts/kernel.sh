#!/usr/bin/env bash
# Makes target/kernel: a copy of nodes/safety and of what it needs, less its shell on the bus (node.rs) and the tests that need the bus. Without
# the middleware it builds in a minute, and a change to it in seconds: what scripts/coverage.sh and scripts/mutants.sh work on. Prints where.
set -euo pipefail
cd "$(dirname "$0")/.."
tree=$PWD/target/kernel

mkdir -p "$tree"
for part in Cargo.toml Cargo.lock .cargo crates/types crates/kinematics crates/qp crates/seal nodes/safety urdf launch SAFETY.md; do
  rm -rf "${tree:?}/$part"
  mkdir -p "$tree/$(dirname "$part")"
  cp -a "$part" "$tree/$part"
done
cd "$tree"
grep -l proctor_bus nodes/safety/tests/*.rs | xargs rm
rm -rf nodes/safety/{benches,examples} crates/*/{benches,examples,tests,compare}
cat >nodes/safety/src/node.rs <<'RS'
//! In the place of the shell: what the real-time thread hands on goes nowhere.
pub struct Comms {
    pub margins: crate::Margins,
}
impl Comms {
    pub fn publish(&mut self, _: &mut crate::Output) {}
    pub fn send(&mut self, _: &crate::Cleared<crate::SetPoint>) {}
}
RS
python3 - <<'PY'
import re
from pathlib import Path
def edit(path, *changes):
    text = Path(path).read_text()
    for pattern, to in changes:
        text, n = re.subn(pattern, to, text, flags=re.M | re.S)
        assert n, f"{path}: {pattern}"
    Path(path).write_text(text)
edit("nodes/safety/src/lib.rs", (r"^pub use node::.*?;\n", ""))
edit("nodes/safety/Cargo.toml", (r"^proctor-bus.*?\n", ""), (r"^proctor-msgs.*?\n", ""), (r"^criterion.*?\n", ""), (r"^\[\[bench\]\].*", ""))
edit("Cargo.toml", (r"^members = .*?$", 'members = ["crates/types", "crates/kinematics", "crates/qp", "crates/seal", "nodes/safety"]'),
     (r"^\[profile.release\].*", """[profile.dev]
opt-level = 1
debug = false
[profile.dev.package."*"]
opt-level = 3
debug-assertions = false
overflow-checks = false
"""))
for crate in ("kinematics", "qp", "seal"):
    text = Path(f"crates/{crate}/Cargo.toml").read_text()
    Path(f"crates/{crate}/Cargo.toml").write_text(re.sub(r"\[dev-dependencies\].*", "", text, flags=re.S))
PY
# What was built last may be a mutant of later date than these.
find nodes crates -name '*.rs' -exec touch {} +
echo "$tree"
