# Proctor - research software, not a medical device.
# Every command a user needs. One profile (release, with assertions on) builds tests, demo and benches: what is tested is what runs.
SHELL := /bin/bash
.DEFAULT_GOAL := help
CARGO ?= cargo
export CARGO_TERM_PROGRESS_WHEN ?= auto
DEMO_SECONDS ?=
DEMO_ARGS ?=

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

setup: ## install what running needs (Debian packages, ONNX Runtime)
	@scripts/setup.sh run

build: setup ## build the executable
	$(CARGO) build --release --workspace --bin proctor

demo: build ## the whole loop on the built-in simulator; DEMO_SECONDS=60 runs it headless with the scripted surgeon
	@target/release/proctor demo $(if $(DEMO_SECONDS),--seconds $(DEMO_SECONDS) --scripted) $(DEMO_ARGS)

doctor: build ## what is present and missing on this machine
	@target/release/proctor doctor

test: ## install what is missing and run every check and test
	@scripts/setup.sh test
	@scripts/test.sh

test-browser: ## only the console in real Chromium (part of `make test`)
	@scripts/setup.sh test
	@tests/browser/run.sh

test-ros: ## against the ROS 2 that is sourced: colcon, launch, ros2 tools, rclpy, the whole loop (skipped, and said so, without one)
	@tests/ros/run.sh

test-gazebo: build ## the whole loop on a real Gazebo server, its arms and its pictures judged (skipped, and said so, without one)
	@tests/gazebo/run.sh

check-ros: ## type-check the backend for a sourced ROS 2 on a machine without one
	$(CARGO) clippy --release --package proctor-bus --features r2r-check --target-dir target/r2r-check -- -D warnings

test-network: build ## the stack on four machines in network namespaces: certificates, access control, a cut line, strangers (root)
	$(CARGO) build --release --workspace --examples
	@.venv/bin/python tests/network/run.py

soak: setup ## attack the safety core for SOAK_SECONDS (60) or SOAK_STEPS, from SOAK_SEED on; the last line is JSON
	$(CARGO) build --release --workspace --example soak
	@target/release/examples/soak

fuzz: setup ## attack what reads bytes and text, guided by coverage, for FUZZ_SECONDS (10) each, or only FUZZ_TARGET; JSON per target
	RUSTC_WORKSPACE_WRAPPER=$(CURDIR)/scripts/rustc-fuzz.sh $(CARGO) build --release --workspace --example fuzz \
	  --message-format=json-render-diagnostics > target/fuzz.json
	@FUZZ_CORPUS=$${FUZZ_CORPUS:-target/fuzz/corpus} $$(python3 scripts/built.py target/fuzz.json fuzz)

coverage: ## lines of filter, gate and state machine that no test runs (needs Debian's llvm-22)
	@scripts/coverage.sh

mutants: ## break the safety node on purpose, one place at a time (MUTANTS="machine gate ..." for some files; needs cargo-mutants)
	@scripts/mutants.sh $(MUTANTS)

bench: setup ## measure: safety step, FK+Jacobian, perception against bare ONNX Runtime and Python, simulator, bus
	$(CARGO) bench --workspace

bench-ros: setup ## the bus beside plain hiroz and, where a ROS 2 is sourced, beside plain r2r and rclpy (says so otherwise)
	@tests/ros/bench.sh

fmt: ## format the code
	$(CARGO) fmt --all

clean: ## remove build outputs
	$(CARGO) clean
	rm -rf .venv tests/browser/node_modules

.PHONY: help setup build demo doctor test test-browser test-network test-ros test-gazebo check-ros soak fuzz coverage mutants bench bench-ros fmt clean
