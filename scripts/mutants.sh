#!/usr/bin/env bash
# Mutation tests of nodes/safety: `scripts/mutants.sh FILE...` (machine gate scalar ...; default: machine gate). Each mutant that the tests do
# not notice is a test to write, or stands with its reason in .cargo/mutants.toml.
#
# Mutants are made and tested in the copy that kernel.sh makes. Tests that need the bus are not there, so what survives here may still be
# noticed by them.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v cargo-mutants >/dev/null || { echo "cargo-mutants is missing: cargo install cargo-mutants --locked" >&2; exit 1; }
[ "$#" -gt 0 ] || set -- machine gate
out=$PWD/target/mutants
mkdir -p "$out"
cd "$(scripts/kernel.sh)"

# The tests that look at a file most closely: which are built (arguments of cargo), and which of them run (names, of the library's own tests).
built() {
  case $1 in
    machine) echo --test machine --test timelines ;;
    gate | scalar | serial | gate_shapes | filter | filter/* | smooth | braking | player | touch | view | remote_centre) echo --lib ;;
    authority | sessions) echo --lib --test approvals --test offers ;;
    *) echo --lib --test stops --test timelines --test slide ;;
  esac
}
named() {
  case $1 in
    gate) echo -- -- gate_tests ;;
    scalar | gate_shapes) echo -- -- gate scalar ;;
  esac
}
code=0
for file in "$@"; do
  # shellcheck disable=SC2046
  cargo mutants --in-place -p proctor-safety -f "nodes/safety/src/$file.rs" --output "$out/$file" --no-shuffle --colors never \
    --timeout 120 $(printf -- '--cargo-arg=%s ' $(built "$file")) ${MUTANTS_ARGS:-} $(named "$file") || code=$?
done
exit "$code"
