#!/bin/sh
# A RUSTC_WORKSPACE_WRAPPER: counts what runs, in the safety crate and its tests only. Dependencies are those of every other build.
if [ "$CARGO_PKG_NAME" = proctor-safety ]; then
  exec "$@" -C instrument-coverage
fi
exec "$@"
