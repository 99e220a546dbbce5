#!/usr/bin/env bash
# 3.8 million words of English prose to interleaved shards, with the models of a finished miniature; documents/interleaved/report.md tells all.
# usage: bash examples/interleave/run.sh [--miniature runs/miniature] [--run-dir runs/interleave]
#
# What is done is skipped, span by span: the command can be stopped, or killed, and repeated.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=examples/common.sh
source "$here/../common.sh"

miniature=$root/runs/miniature run_dir=$root/runs/interleave
options "--miniature --run-dir" "$@"
miniature=$(realpath -m -- "$miniature")
run_dir=$(realpath -m -- "$run_dir")
[[ -f $miniature/t2t/hf/manifest.json ]] || fail "$miniature/t2t/hf does not exist; run examples/miniature/run.sh first"

bash "$root/tools/install.sh"
enter "$run_dir"
for part in t2t vocabulary speech_tokenizer; do link "$miniature/$part" "$part"; done

run fetch fetch_assets assets
run corpus prepare_prose corpus
run interleaved build_interleaved interleaved
