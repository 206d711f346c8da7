#!/bin/sh
# Make the environment in the folder $1 and leave the stamp .complete in it. Each thing that can be wrong is one line.
# PYTHON: the interpreter to use (default: the first fitting one); TORCH_INDEX: the index to take torch from.
set -eu

venv=$1
log=$venv/install.log

stop() { echo "make env: $1" >&2; exit 1; }

fits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' >/dev/null 2>&1; }

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        fits "$PYTHON" && echo "$PYTHON"
        return
    fi
    for candidate in python3.11 python3.12 python3 python; do
        if fits "$candidate"; then
            echo "$candidate"
            return
        fi
    done
}

found() { "$1" -c 'import sys; print("%s is Python %d.%d" % ((sys.argv[1],) + tuple(sys.version_info[:2])))' "$1" 2>/dev/null || echo "$1 does not run"; }

# pip's whole output goes to the log; what is downloaded is shown.
pip_install() {
    {
        code=0
        "$venv/bin/python" -m pip install --disable-pip-version-check --retries 2 -c constraints.txt "$@" 2>&1 || code=$?
        echo "pip ended with $code"
    } | tee -a "$log" | sed -nuE 's/^ *(Downloading|Using cached) ([^ ]*\/)?([^ \/]+)-[0-9][^ ]* .*/    \3/p; s/^(Installing) collected.*/    \1 …/p'
    [ "$(tail -n 1 "$log")" = "pip ended with 0" ]
}

install() {
    echo "make env: $1"
    shift
    pip_install "$@" && return
    why=$(grep -m1 -iE 'no space left|permission denied' "$log" || true)
    [ -z "$why" ] || stop "the installation failed: $why"
    if grep -qiE 'name resolution|name or service not known|network is unreachable|new connection|connection (refused|reset|timed out|broken)|read timed out|proxyerror' "$log"; then
        stop "no connection to a package index; check the network or pip's settings and run it again; details in $log"
    fi
    stop "pip failed: $(grep -m1 '^ERROR' "$log" || echo unknown); details in $log"
}

python=$(find_python) || true
[ -n "$python" ] || stop "needs Python 3.11 or 3.12, and $(found "${PYTHON:-python3}"); install one, or name it: make env PYTHON=/path/to/python3.11"
"$python" -c 'import venv, ensurepip' 2>/dev/null || stop "$python lacks the venv module; on Debian and Ubuntu: apt install $(basename "$python")-venv"
[ -w . ] || stop "no permission to write in $(pwd); clone the repository into a folder of your own"
mkdir -p "$venv" 2>/dev/null && : 2>/dev/null >"$log" || stop "no permission to write in $(pwd)/$venv"

rm -f "$venv/.complete"
echo "make env: $(found "$python"), into $venv"
"$python" -m venv "$venv" >>"$log" 2>&1 || stop "cannot make an environment in $venv: $(tail -n 1 "$log")"
install "torch" ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch
install "coat_ray and its libraries; some minutes the first time" -e '.[dev]'
install "basic-pitch, for the pitch model inside it" --no-deps basic-pitch
touch "$venv/.complete"
echo "make env: done"
