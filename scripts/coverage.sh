#!/usr/bin/env bash
# Line coverage of nodes/safety by its own tests, judged by coverage.py. Runs on the copy that kernel.sh makes, and instruments that crate only.
# The million hostile ticks are left out: they would take minutes and reach no line that nothing else reaches.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD out=$PWD/target/coverage
for tool in llvm-profdata-22 llvm-cov-22; do
  command -v "$tool" >/dev/null || { echo "$tool is missing (LLVM as new as rustc's own): apt-get install llvm-22" >&2; exit 1; }
done
rm -rf "$out"
mkdir -p "$out"
cd "$(scripts/kernel.sh)"
RUSTC_WORKSPACE_WRAPPER=$root/scripts/rustc-coverage.sh ${CARGO:-cargo} test -p proctor-safety --lib --tests --no-run \
  --message-format=json >"$out/build.json"
python3 "$root/scripts/built.py" "$out/build.json" --of nodes/safety >"$out/binaries"
objects=()
while read -r binary; do
  echo "running $(basename "$binary")" >&2
  log=$out/$(basename "$binary").log
  (cd nodes/safety && LLVM_PROFILE_FILE=$out/%m-%p.profraw "$binary" --quiet --skip no_violation_reaches_an_arm_in_a_million_steps) >"$log" 2>&1 ||
    { cat "$log" >&2; exit 1; }
  objects+=(-object "$binary")
done <"$out/binaries"
llvm-profdata-22 merge -sparse "$out"/*.profraw -o "$out/all.profdata"
llvm-cov-22 export -format=lcov -instr-profile "$out/all.profdata" "${objects[@]}" --sources nodes/safety/src >"$out/lcov"
rm -f "$out"/*.profraw
exec python3 "$root/scripts/coverage.py" "$out/lcov" "$PWD/nodes/safety/src"
