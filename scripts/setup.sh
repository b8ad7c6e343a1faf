#!/usr/bin/env bash
# Makes the machine ready: .venv with the locked packages, a browser and its driver.
# Runs again in no time, says what it does, may be started twice at once.
set -euo pipefail
cd "$(dirname "$0")/.."

oldest=11 # Python 3.11
log=.cache/setup.log
mkdir -p .cache

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Runs a command quietly; its output is shown only if it fails.
quietly() {
    "$@" >"$log" 2>&1 || { tail -n 30 "$log" >&2; die "$* failed; the whole output is in $log"; }
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

apt_install() {
    command -v apt-get >/dev/null || die "please install: $*"
    [ "$(id -u)" = 0 ] || command -v sudo >/dev/null || die "please install as root: $*"
    say "installing $* (apt)"
    quietly as_root apt-get update
    quietly as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends "$@"
}

fits() {
    "$1" -c "import sys; sys.exit(sys.version_info < (3, $oldest))" 2>/dev/null
}

find_python() {
    local name
    for name in python3 python3.13 python3.12 python3.11 python3.14; do
        if fits "$name"; then echo "$name"; return; fi
    done
    return 1
}

make_environment() {
    local python version
    if ! python=$(find_python); then
        apt_install python3 python3-venv
        python=$(find_python) || die "Python 3.$oldest or newer is needed; install it and try again"
    fi
    # Debian ships Python without the part that puts pip into a new environment.
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        apt_install "python$version-venv"
    fi
    say "making .venv ($("$python" --version))"
    rm -rf .venv
    quietly "$python" -m venv .venv
}

wanted() {
    { pwd; cat requirements.lock pyproject.toml; } | sha256sum
}

environment() {
    [ "$(cat .venv/.installed 2>/dev/null)" = "$(wanted)" ] && return
    # An environment does not survive a move: its scripts begin with the path of its Python.
    if ! fits .venv/bin/python || [ "$(cat .venv/.place 2>/dev/null || pwd)" != "$PWD" ]; then
        make_environment
    fi
    pwd >.venv/.place
    say "installing the locked packages (about 5 GB, a few minutes the first time)"
    export PIP_DISABLE_PIP_VERSION_CHECK=1
    quietly .venv/bin/python -m pip install -r requirements.lock
    quietly .venv/bin/python -m pip install --no-deps -e .
    wanted >.venv/.installed
}

has_browser() {
    local name
    command -v chromedriver >/dev/null || return 1
    for name in chromium chromium-browser google-chrome google-chrome-stable; do
        command -v "$name" >/dev/null && return
    done
    return 1
}

browser() {
    has_browser && return
    apt_install chromium chromium-driver
    has_browser || die "no chromium and chromedriver after installing them: see \`pipeline doctor\`"
}

exec 9>.cache/setup.lock
flock 9
environment
browser
