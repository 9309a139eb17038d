#!/usr/bin/env bash
# Mutation tests of nodes/safety: `scripts/mutants.sh FILE...` (machine gate scalar ...; default: machine gate). Each mutant that the tests do
# not notice is a test to write, or stands with its reason in .cargo/mutants.toml.
#
# Mutants are made and tested in a copy of the crate and of what it needs, less its shell on the bus (node.rs): without the
# middleware a mutant takes seconds. Tests that need the bus are left out, so what survives here may still be noticed by them.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v cargo-mutants >/dev/null || { echo "cargo-mutants is missing: cargo install cargo-mutants --locked" >&2; exit 1; }
tree=$PWD/target/mutants/tree
[ "$#" -gt 0 ] || set -- machine gate

mkdir -p "$tree"
for part in Cargo.toml Cargo.lock .cargo crates/types crates/kinematics crates/qp crates/seal nodes/safety urdf launch; do
  rm -rf "${tree:?}/$part"
  mkdir -p "$tree/$(dirname "$part")"
  cp -r "$part" "$tree/$part"
done
cd "$tree"
rm -f nodes/safety/tests/{on_the_bus,wire_attacks}.rs
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
edit("nodes/safety/src/lib.rs", (r"^pub use node::SafetyNode;\n", ""))
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

# The tests that look at a file most closely: which are built (arguments of cargo), and which of them run (names, of the library's own tests).
built() {
  case $1 in
    machine) echo --test machine --test timelines ;;
    gate | scalar | gate_shapes | filter | smooth | braking | player) echo --lib ;;
    authority | sessions) echo --lib --test approvals --test offers ;;
    *) echo --lib --test stops --test timelines --test slide ;;
  esac
}
named() {
  case $1 in
    gate | scalar | gate_shapes) echo -- -- gate scalar ;;
  esac
}
code=0
for file in "$@"; do
  # shellcheck disable=SC2046
  cargo mutants --in-place -p proctor-safety -f "nodes/safety/src/$file.rs" --output "../out-$file" --no-shuffle --colors never \
    --timeout 120 $(printf -- '--cargo-arg=%s ' $(built "$file")) ${MUTANTS_ARGS:-} $(named "$file") || code=$?
done
exit "$code"
