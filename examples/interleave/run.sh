#!/usr/bin/env bash
# 3.8 million words of English prose to interleaved shards, with the models of a finished miniature; documents/interleaved/report.md tells all.
# usage: bash examples/interleave/run.sh [--miniature runs/miniature] [--run-dir runs/interleave]
#
# What is done is skipped, span by span: the command can be stopped, or killed, and repeated.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)

miniature=$root/runs/miniature run_dir=$root/runs/interleave
fail() { echo "error: $*" >&2; exit 2; }
while (($#)); do
    [[ $# -ge 2 || $1 == -h || $1 == --help ]] || fail "$1 is the last word: an option takes a value; see --help"
    case $1 in
        --miniature) miniature=$(realpath -m -- "$2") && shift 2 ;;
        --run-dir) run_dir=$(realpath -m -- "$2") && shift 2 ;;
        -h | --help) sed -n '2,5s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" && exit 0 ;;
        *) fail "$1 is not an option; see --help" ;;
    esac
done
[[ -f $miniature/t2t/hf/manifest.json ]] || fail "$miniature/t2t/hf does not exist; run examples/miniature/run.sh first"

bash "$root/tools/install.sh"
python=$root/.venv/bin/python
mkdir -p "$run_dir" "$root/.cache/assets"
cd "$run_dir"
for part in t2t vocabulary speech_tokenizer; do [[ -e $part ]] || ln -s "$miniature/$part" "$part"; done
[[ -e assets ]] || ln -s "$root/.cache/assets" assets
export TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error PYTHONUNBUFFERED=1

# run NAME TOOL YAML OVERRIDES...: one step.
run() {
    local name=$1 tool=$2 yaml=$3
    shift 3
    echo "== $name"
    "$python" "$root/tools/$tool.py" --config "$here/$yaml.yaml" "$@"
}
run fetch fetch_assets assets
run corpus prepare_prose corpus
run interleaved build_interleaved interleaved
