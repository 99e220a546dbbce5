#!/usr/bin/env bash
# What does a speech tokenizer owe to its rate, its codebook, its layers and its data? Trains every row of experiments.yaml and reports.
# usage: bash examples/speech_tokenizer/run.sh [--rows "base rate_25 ..."] [--run-dir runs/speech_tokenizer]
#
# The speech is made first (9,000 utterances, 16 hours, of four voices: six minutes on two cores), then the rows one after the other,
# each from a quarter of an hour to many hours. What is done is skipped: the command can be stopped and repeated. A row's output goes to
# experiments/<row>/tokenizer.log and report.log; experiments/report.md is written anew after every row. Where a row fails the others go on;
# which ones failed is said at the end, with exit status 1.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=examples/common.sh
source "$here/../common.sh"

rows="" run_dir=$root/runs/speech_tokenizer
options "--rows --run-dir" "$@"
run_dir=$(realpath -m -- "$run_dir")

bash "$root/tools/install.sh"
[[ -n $rows ]] || rows=$("$python" "$here/rows.py")
for row in $rows; do "$python" "$here/rows.py" "$row" >/dev/null || exit 2; done

enter "$run_dir"
mkdir -p experiments
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-2}

# run NAME TOOL YAML OVERRIDES...: one step. A NAME with a slash makes experiments/NAME, unless it is made, with a log beside it.
run() {
    if [[ $1 != */* ]]; then
        echo "== $1"
        tool "${@:2}"
    elif [[ ! -f experiments/$1/manifest.json ]]; then
        in_row "$1" tool "${@:2}" --output "experiments/$1"
    fi
}
# in_row ROW/PART COMMAND...: run it with its output in a log, and note its CPU seconds in the row's timings.jsonl; a failure is kept in `failed`.
in_row() {
    local name=$1 log=experiments/$1.log status=0 user system TIMEFORMAT='%U %S'
    shift
    echo "== $name, see $log"
    mkdir -p "experiments/${name%/*}"
    { time "$@" >>"$log" 2>&1 || status=$?; } 2>"experiments/$name.time"
    read -r user system <"experiments/$name.time"
    rm "experiments/$name.time"
    awk -v stage="${name#*/}" -v spent="$user $system" \
        'BEGIN { split(spent, s, " "); printf "{\"stage\": \"%s\", \"cpu_seconds\": %.1f}\n", stage, s[1] + s[2] }' \
        >>"experiments/${name%/*}/timings.jsonl"
    ((status == 0)) && return
    failed+=("$name")
    echo "error: $name failed; its output is in $run_dir/$log" >&2
}

# Real models, voices and texts, as in the miniature.
run fetch fetch_assets ../miniature/assets
run unpack unpack_assets ../miniature/assets
run corpus prepare_corpus ../miniature/corpus
run audio-train speak_corpus audio_train
run audio-seen speak_corpus audio_seen
run audio-unseen speak_corpus audio_unseen
run audio-human speak_corpus ../miniature/audio_human
if [[ " ${rows//$'\n'/ } " == *" one_voice "* ]]; then
    run audio-one-voice speak_corpus audio_train --output audio/one_voice --utterances "{hibari: 9000, slt: 0, rms: 0, kal16: 0}"
fi

failed=() table="" reading=()
[[ ! -f $here/report/reading.md ]] || reading=(--reading "$here/report/reading.md")
for row in $rows; do
    mapfile -t words < <("$python" "$here/rows.py" "$row")
    [[ -n ${words[0]} ]] || words=()
    # Every row is read from its codes; what reads the audio itself hears the same for all, so only the first row asks.
    bounds=()
    [[ $row == base ]] || bounds=(--whisper null --judge null --robustness null)
    run "$row/tokenizer" train_speech_tokenizer tokenizer "${words[@]}"
    if [[ -f experiments/$row/tokenizer/manifest.json ]]; then
        run "$row/report" tokenizer_report report --tokenizer "experiments/$row/tokenizer" "${bounds[@]}"
    fi
    if compgen -G "experiments/*/report/manifest.json" >/dev/null; then
        table=table
        run table tokenizer_experiments experiments "${reading[@]}" && table=""
    fi
done
[[ -z $table ]] || failed+=("$table")
((${#failed[@]} == 0)) || { echo "error: failed: ${failed[*]}; mend the cause and repeat the command" >&2; exit 1; }
echo "report: $run_dir/experiments/report.md"
