#!/usr/bin/env bash
# What will a run of a trillion tokens read? Prints two mixtures by the sizes of their sources alone; needs no data.
# usage: bash examples/mixture/run.sh
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=examples/common.sh
source "$here/../common.sh"
options "" "$@"

bash "$root/tools/install.sh"

run paper plan_mixture paper
run stages plan_mixture stages
