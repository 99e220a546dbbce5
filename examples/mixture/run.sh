#!/usr/bin/env bash
# What will a run of a trillion tokens read? Prints two mixtures by the sizes of their sources alone; needs no data.
# usage: bash examples/mixture/run.sh
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
[[ $# -eq 0 ]] || { sed -n '2,3s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; [[ $1 == -h || $1 == --help ]] && exit 0; exit 2; }

bash "$root/tools/install.sh"

# run NAME TOOL YAML OVERRIDES...: one step.
run() {
    local name=$1 tool=$2 yaml=$3
    shift 3
    echo "== $name"
    "$root/.venv/bin/python" "$root/tools/$tool.py" --config "$here/$yaml.yaml" "$@"
}
run paper plan_mixture paper
run stages plan_mixture stages
