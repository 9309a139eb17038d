#!/usr/bin/env bash
# Line coverage of nodes/safety by its own tests, judged by coverage.py. Only that crate is instrumented, so that the middleware is not
# built again; what is named besides it in PACKAGES keeps the dependencies' features those of the whole workspace. The million hostile ticks
# are left out: they would take ten minutes and reach no line that nothing else reaches.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$PWD/target/coverage
profdata=$(command -v llvm-profdata-22 || true) cov=$(command -v llvm-cov-22 || true)
if [ -z "$profdata" ] || [ -z "$cov" ]; then
  echo "LLVM 22's tools (those of rustc's own LLVM) are missing: apt-get install llvm-22" >&2
  exit 1
fi
PACKAGES=(-p proctor-safety -p proctor-qp -p proctor-sim -p proctor)
tests=()
for file in nodes/safety/tests/*.rs; do
  tests+=(--test "$(basename "$file" .rs)")
done

rm -rf "$out"
mkdir -p "$out"
RUSTC_WORKSPACE_WRAPPER=$PWD/scripts/rustc-coverage.sh ${CARGO:-cargo} test --release --locked "${PACKAGES[@]}" --lib "${tests[@]}" \
  --no-run --message-format=json >"$out/build.json"
python3 - "$out/build.json" >"$out/binaries" <<'PY'
import json, sys
for line in open(sys.argv[1]):
    m = json.loads(line)
    if m.get("executable") and m["manifest_path"].endswith("nodes/safety/Cargo.toml"):
        print(m["executable"])
PY
objects=()
while read -r binary; do
  echo "running $(basename "$binary")" >&2
  (cd nodes/safety && LLVM_PROFILE_FILE=$out/%m-%p.profraw "$binary" --quiet --skip no_violation_reaches_an_arm_in_a_million_steps) >"$out/$(basename "$binary").log" ||
    { cat "$out/$(basename "$binary").log" >&2; exit 1; }
  objects+=(-object "$binary")
done <"$out/binaries"
"$profdata" merge -sparse "$out"/*.profraw -o "$out/all.profdata"
"$cov" export -format=lcov -instr-profile "$out/all.profdata" "${objects[@]}" --sources nodes/safety/src >"$out/lcov"
rm -f "$out"/*.profraw
exec python3 scripts/coverage.py "$out/lcov"
