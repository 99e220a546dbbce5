#!/usr/bin/env bash
# Fetches 3.8 million words of English prose and writes them as four corpora to be interleaved.
# usage: bash examples/interleave/run.sh FOLDER    makes FOLDER/assets and FOLDER/corpus
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
[[ $# -eq 1 && $1 != -* ]] || { sed -n '2,3s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; [[ ${1:-} == -h || ${1:-} == --help ]] && exit 0; exit 2; }

bash "$root/tools/install.sh"
mkdir -p "$1" && cd "$1"

# run NAME TOOL YAML OVERRIDES...: one step.
run() {
    local name=$1 tool=$2 yaml=$3
    shift 3
    echo "== $name"
    "$root/.venv/bin/python" "$root/tools/$tool.py" --config "$here/$yaml.yaml" "$@"
}
run fetch fetch_assets assets
run corpus prepare_prose corpus
