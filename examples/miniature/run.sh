#!/usr/bin/env bash
# From a text corpus to a speech-text model, small and real: every step of arXiv 2411.17607 through the code that a cluster runs.
# usage: bash examples/miniature/run.sh [--budget-minutes 20] [--assets full|ci] [--run-dir runs/miniature] [--model.base scratch]
#
# The budget sets how much of each step is done, never which steps (examples/miniature/budget.py holds the table). What is done
# is skipped, so the command can be stopped and repeated at any time. Every step below is one command with its own YAML file,
# and can be run by hand from inside the run folder.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)

minutes=20 assets="" run_dir=$root/runs/miniature pretrain_yaml=pretrain.yaml
fail() { echo "error: $*" >&2; exit 2; }
while (($#)); do
    case $1 in
        --budget-minutes) minutes=${2:?} && shift 2 ;;
        --assets) assets=${2:?} && shift 2 ;;
        --run-dir) run_dir=$(realpath -m "${2:?}") && shift 2 ;;
        --model.base) [[ ${2:?} == scratch ]] || fail "--model.base=$2 must be 'scratch'; leave it out to start from SmolLM2-135M"
                      pretrain_yaml=pretrain_scratch.yaml && shift 2 ;;
        -h | --help) sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" && exit 0 ;;
        *) fail "$1 is not an option; see --help" ;;
    esac
done
