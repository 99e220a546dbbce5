#!/usr/bin/env bash
# Make .venv in the project's root and install the pinned packages into it; does nothing when they are already there.
# usage: bash tools/install.sh     (PYTHON=/path/to/python3.11 chooses the interpreter)
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

stamp=.venv/installed.sha256
wanted=$(cat pyproject.toml tools/constraints.txt | sha256sum | cut -d' ' -f1)
if [[ -f $stamp && $(cat "$stamp") == "$wanted" ]]; then exit 0; fi

python=${PYTHON:-$(command -v python3.11 || command -v python3 || true)}
if [[ -z $python ]] || ! "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; then
    echo "error: Python 3.11 not found (PYTHON=${python:-unset}); install it, or name it: PYTHON=/path/to/python3.11" >&2
    exit 2
fi
[[ -x .venv/bin/pip ]] || "$python" -m venv --clear .venv
echo "installing the pinned packages into .venv (once)"
.venv/bin/python -m pip install --quiet --disable-pip-version-check -c tools/constraints.txt -e '.[corpus,eval,pronunciation,dev]'
echo "$wanted" >"$stamp"
