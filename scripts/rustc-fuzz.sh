#!/bin/sh
# A RUSTC_WORKSPACE_WRAPPER: LLVM's coverage counters and compare hooks, in the crates whose readers are fuzzed; tests/fuzz/src/coverage.rs
# reads them. Stable rustc has no flag for this, but passes LLVM's on. Dependencies are those of every other build.
case "$CARGO_PKG_NAME $*" in
  # A build script runs on its own.
  *" --crate-name build_script_build "*) ;;
  "proctor-types "* | "proctor-msgs "* | "proctor-seal "* | "proctor-kinematics "* | "proctor-perception "* | "proctor-safety "* | "proctor-console "*)
    exec "$@" --cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
      -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-trace-compares
    ;;
  # What looks at the counters must not be counted itself.
  "proctor-fuzz "*) exec "$@" --cfg fuzzing ;;
esac
exec "$@"
