#!/usr/bin/env python3
"""Fails when `cargo build` of the workspace uses other features of a dependency than `cargo test`, which would build Zenoh twice.

What is printed belongs into crates/features/Cargo.toml. Asks cargo for its unit graph, an unstable output of the stable cargo."""
import json
import os
import subprocess
import sys

COMMON = ["--release", "--workspace", "--unit-graph", "-Z", "unstable-options"]


def units(*command: str) -> dict[tuple[str, ...], set[tuple[str, ...]]]:
    """Every unit of a registry's packages, and the sets of features that it is built with."""
    environment = dict(os.environ, RUSTC_BOOTSTRAP="1")
    graph = subprocess.run(["cargo", *command, *COMMON], check=True, stdout=subprocess.PIPE, env=environment).stdout
    found: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for unit in json.loads(graph)["units"]:
        if unit["pkg_id"].startswith("registry"):
            # What build scripts and macros use is built apart, with other settings.
            settings = str(unit["profile"]["codegen_units"])
            key = (unit["pkg_id"].split("#")[-1], unit["target"]["kind"][0], unit["mode"], settings)
            found.setdefault(key, set()).add(tuple(unit["features"]))
    return found


tests = units("test", "--no-run")
wrong = 0
for command in (["build"], ["build", "--bin", "proctor"], ["build", "--examples"]):
    for key, sets in sorted(units(*command).items()):
        for extra in sets - tests.get(key, set()):
            wrong += 1
            print(f"cargo {' '.join(command)}: {' '.join(key)} with {list(extra)}, tests use {sorted(tests.get(key, set()))}")
print(f"features: {wrong} units of the build are not those of the tests")
sys.exit(wrong > 0)
