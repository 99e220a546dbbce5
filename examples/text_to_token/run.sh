#!/usr/bin/env bash
# What do more hours of speech buy a text-to-token model? Trains every row of curve.yaml for the same number of steps and reports.
# usage: bash examples/text_to_token/run.sh [--rows "hours_1 hours_4 ..."] [--tokenizer runs/miniature/speech_tokenizer] [--run-dir runs/text_to_token]
#
# The speech tokenizer is that of the miniature (examples/miniature/run.sh trains it). 12,800 utterances are spoken and encoded first (a quarter of
# an hour on two cores), then the rows one after the other, about as long each. What is done is skipped: the command can be stopped and
# repeated. A row's output goes to curve/<row>/<step>.log; curve/report.md is written anew after every row.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=examples/common.sh
source "$here/../common.sh"

rows="" run_dir=$root/runs/text_to_token tokenizer=$root/runs/miniature/speech_tokenizer
options "--rows --tokenizer --run-dir" "$@"
run_dir=$(realpath -m -- "$run_dir")
tokenizer=$(realpath -m -- "$tokenizer")
[[ -f $tokenizer/manifest.json ]] || fail "--tokenizer=$tokenizer is no speech tokenizer; run examples/miniature/run.sh first, or name another"

bash "$root/tools/install.sh"
[[ -n $rows ]] || rows=$("$python" "$here/rows.py")
for row in $rows; do "$python" "$here/rows.py" "$row" >/dev/null || exit 2; done

enter "$run_dir"
mkdir -p curve
link "$tokenizer" speech_tokenizer
[[ $(realpath speech_tokenizer) == "$(realpath "$tokenizer")" ]] ||
    fail "$run_dir was made with $(realpath speech_tokenizer), not $tokenizer; repeat that, or choose another --run-dir"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-2}

# run NAME TOOL YAML OVERRIDES...: one step. A NAME with a slash is a part of curve/: its output goes to a log beside it.
run() {
    echo "== $1"
    if [[ $1 == */* ]]; then tool "${@:2}" >>"curve/$1.log" 2>&1; else tool "${@:2}"; fi
}
# train ROW TOOL YAML OVERRIDES...: two ranks, one thread each; CPU seconds go to the row's timings.jsonl.
train() {
    local row=$1 log=curve/$1/run.log status=0 spent TIMEFORMAT='%U %S'
    echo "== $row/run, see $log"
    [[ ! -f curve/$row/run/done.json ]] || return 0
    spent=$({ time OMP_NUM_THREADS=1 "$python" "$root/tools/launch.py" --standalone --nproc-per-node 2 "$root/tools/$2.py" --config "$here/$3.yaml" "${@:4}" \
        >>"$log" 2>&1; } 2>&1) || status=$?
    awk -v spent="$spent" 'BEGIN { split(spent, s, " "); printf "{\"stage\": \"run\", \"cpu_seconds\": %.1f}\n", s[1] + s[2] }' \
        >>"curve/$row/timings.jsonl"
    return $status
}

# Real voices and texts, as in the miniature.
run fetch fetch_assets ../miniature/assets
run unpack unpack_assets ../miniature/assets
run corpus prepare_corpus ../miniature/corpus
run audio-train speak_corpus audio_train
run audio-heldout speak_corpus audio_heldout
for part in train heldout; do
    run "codes-$part" tokenize_speech ../miniature/codes --audio "audio/$part" --output "codes/$part"
done

one_row() {
    local row=$1 utterances spelling part name
    read -r utterances spelling < <("$python" "$here/rows.py" "$row")
    mkdir -p "curve/$row"
    run "vocabulary-$spelling" build_vocabulary ../miniature/text_to_token_vocabulary --spelling "$spelling" --output "vocabulary_$spelling"
    run "$row/documents" build_task_documents ../miniature/task_text_to_token --vocabulary "vocabulary_$spelling" \
        --output "curve/$row/documents" --utterances.of_first "$utterances"
    run "$row/packed" pack_shards ../miniature/pack_text_to_token --input "curve/$row/documents" --output "curve/$row/packed"
    for part in short:3 middle:5.5; do
        name=${part%:*}
        run "$row/$name-documents" build_task_documents ../miniature/task_text_to_token --vocabulary "vocabulary_$spelling" \
            --output "curve/$row/$name/documents" --utterances.of_first "$utterances" --utterances.max_duration_s "${part#*:}"
        run "$row/$name-packed" pack_shards ../miniature/pack_text_to_token --input "curve/$row/$name/documents" --output "curve/$row/$name/packed"
    done
    run "held-out-$spelling" build_task_documents ../miniature/task_text_to_token --codes "[codes/heldout]" \
        --vocabulary "vocabulary_$spelling" --output "heldout_$spelling/documents"
    run "held-out-packed-$spelling" pack_shards ../miniature/pack_text_to_token --input "heldout_$spelling/documents" \
        --output "heldout_$spelling/packed"
    train "$row" train_text_to_token text_to_token --folder "curve/$row/run" --pairs "curve/$row/packed" \
        --first.short.pairs "curve/$row/short/packed" --first.middle.pairs "curve/$row/middle/packed" --held_out "heldout_$spelling/packed"
    run "$row/hf" convert_to_hf ../miniature/text_to_token_export --checkpoint "curve/$row/run" --vocabulary "vocabulary_$spelling" \
        --output "curve/$row/hf"
    run "$row/round_trip" round_trip round_trip --model "curve/$row/hf" --output "curve/$row/round_trip"
}

failed=() reading=()
[[ ! -f $here/report/reading.md ]] || reading=(--reading "$here/report/reading.md")
for row in $rows; do
    # A subshell of its own, so that the first failing step ends the row and the others go on.
    (set -e; one_row "$row") &
    wait $! || failed+=("$row")
    if compgen -G "curve/*/round_trip/manifest.json" >/dev/null; then
        run table text_to_token_curve curve "${reading[@]}"
    fi
done
((${#failed[@]} == 0)) || { echo "error: failed: ${failed[*]}; their logs are in $run_dir/curve; mend the cause and repeat the command" >&2; exit 1; }
echo "report: $run_dir/curve/report.md"
