#!/usr/bin/env bash
# Installs what building, running (and with "test", testing) Proctor needs, on Debian 12 or Ubuntu 24.04, as root or with sudo.
# Does nothing, quickly, when everything is there. Usage: scripts/setup.sh run|test
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:-run}
say() { printf '\033[1m[setup]\033[0m %s\n' "$*" >&2; }
die() { printf '[setup] error: %s\n' "$*" >&2; exit 1; }

command -v cargo >/dev/null || die "cargo is missing: install a Rust toolchain (1.92 or newer) first"

packages=(build-essential pkg-config libclang-dev clang libopencv-dev python3-venv)
if [ "$what" = test ]; then
  packages+=(liburdfdom-tools iproute2 openssl)
  command -v node >/dev/null && command -v npm >/dev/null || packages+=(nodejs npm)
  # Ubuntu ships Chromium as a snap only; there the browser tests run when a Chromium or Chrome is found and say so otherwise.
  # Gazebo's transport and world reader judge ours; only Debian 12 has them. Elsewhere those tests say that they were skipped.
  grep -qi '^VERSION_CODENAME=bookworm' /etc/os-release && packages+=(ignition-tools ignition-transport-cli libsdformat-dev)
  grep -qi '^ID=debian' /etc/os-release && packages+=(chromium)
fi
missing=()
for p in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'install ok installed' || missing+=("$p")
done
if [ "${#missing[@]}" -gt 0 ]; then
  sudo=; if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || die "missing packages (${missing[*]}) and neither root nor sudo"
    sudo=sudo
  fi
  say "installing Debian packages: ${missing[*]} (a few minutes)"
  $sudo apt-get update -qq
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

stamp=.venv/.requirements
if ! cmp -s scripts/requirements.txt "$stamp" 2>/dev/null; then
  say "installing Python wheels into .venv (ONNX Runtime and test judges)"
  /usr/bin/python3 -m venv .venv 2>/dev/null || python3 -m venv .venv
  .venv/bin/python -m pip install -q --disable-pip-version-check -r scripts/requirements.txt
  cp scripts/requirements.txt "$stamp"
fi

if [ "$what" = test ] && [ -f tests/browser/package-lock.json ] && ! cmp -s tests/browser/package-lock.json tests/browser/node_modules/.lock 2>/dev/null; then
  say "installing npm packages for the browser tests"
  (cd tests/browser && npm ci --silent --no-audit --no-fund && cp package-lock.json node_modules/.lock)
fi
say "ready"
