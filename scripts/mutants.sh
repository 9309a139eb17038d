#!/usr/bin/env bash
# Mutation tests of nodes/safety: `scripts/mutants.sh [FILE...]` (machine gate core/motion ...; default: all). mutants.py tests what can be switched in one
# build, the shell on the bus by itself; what cannot (constants, opaque types, types that fit only elsewhere) cargo-mutants itself builds and tests, one by one, in the same copy.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo mutants --version >/dev/null 2>&1 || { echo "cargo-mutants is missing: cargo install cargo-mutants --locked" >&2; exit 1; }
code=0
[ "$#" -gt 0 ] || python3 scripts/mutants.py --bus || code=$?
python3 scripts/mutants.py "$@" || code=$?
mapfile -t left < <(python3 scripts/mutants.py --left "$@")
[ "${#left[@]}" -gt 0 ] || exit "$code"
out=$PWD/target/mutants
cd "$(scripts/kernel.sh)"
# Without the tests that mutants.py leaves out for their length. Deleted fields of structs come along: cargo-mutants filters them by file only.
with() {
  cargo mutants --in-place -p proctor-safety "${left[@]}" --output "$out" --no-shuffle --colors never "$@" -- -- \
    --skip no_violation_reaches_an_arm_in_a_million_steps --skip random_and_hostile_inputs_never_bring_it_beside_its_trocar \
    --skip breaking_the_core_on_purpose_is_found
}
# Unit tests, which build in a third of the time, first; what survives them, with all. 3: none survived, and some never ended.
last=0
with --cargo-arg=--lib || with --iterate --cargo-arg=--lib --cargo-arg=--tests || last=$?
[ "$last" = 0 ] || [ "$last" = 3 ] || code=$last
exit "$code"
