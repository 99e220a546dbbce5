#!/usr/bin/env bash
# Make .venv in the project's root and install the pinned packages into it; says so and leaves if they are there.
# usage: bash tools/install.sh     (PYTHON=/path/to/python3.11 chooses the interpreter)
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

stamp=.venv/installed.sha256
wanted=$(cat pyproject.toml tools/constraints.txt | sha256sum | cut -d' ' -f1)
if [[ -f $stamp && $(cat "$stamp") == "$wanted" ]]; then
    echo "$root/.venv: already installed"
    exit 0
fi

python=${PYTHON:-$(command -v python3.11 || command -v python3 || true)}
if [[ -z $python ]] || ! "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; then
    echo "error: Python 3.11 not found (PYTHON=${python:-unset}); install it, or name it: PYTHON=/path/to/python3.11" >&2
    exit 2
fi
[[ -x .venv/bin/pip ]] || "$python" -m venv --clear .venv
packages=$(grep -c == tools/constraints.txt)
echo "installing about $packages packages, at the tested versions, into $root/.venv (2.2 GB, once)"

# Show a line for every tenth package that pip finds, and for every large file. pip says "Processing" of packages on
# disk. It says "Installing" of what builds a package, too, long before it unpacks all.
found=0
show() {
    local word name size
    while read -r word name size; do
        if [[ $word == @(Collecting|Processing) ]] && ((++found % 10 == 0)); then
            echo "  $found of about $packages packages found"
        elif [[ $word == Downloading && $size =~ ^\([0-9]{3,}.*MB\)$ ]]; then
            echo "  downloading $name $size"
        elif [[ $word == Installing && $name == collected ]]; then
            echo "  unpacking them: this takes minutes"
        fi
    done
}
PYTHONUNBUFFERED=1 .venv/bin/python -m pip install --progress-bar off --disable-pip-version-check \
    -c tools/constraints.txt -e '.[corpus,eval,pronunciation,dev]' | show
echo "$wanted" >"$stamp"
echo "done; next: .venv/bin/megatron-speech doctor"
