#!/usr/bin/env bash
# From a text corpus to a speech-text model, small and real: every step of arXiv 2411.17607 through the code that a cluster runs.
# usage: bash examples/miniature/run.sh [--budget-minutes 20] [--assets full|ci] [--run-dir runs/miniature] [--model.base scratch]
#
# The budget sets how much of each step is done, never which steps (examples/miniature/budget.py holds the table). What is done
# is skipped, so the command can be stopped and repeated at any time. Every step below is one command with its own YAML file,
# and can be run by hand from inside the run folder. Training starts from SmolLM2-135M-Instruct, whose weights were packaged in
# 4 bits: the small text model that a package index carries.
# shellcheck disable=SC2154  # the amounts below are assigned by budget.py
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=examples/common.sh
source "$here/../common.sh"

minutes=20 assets="" run_dir=$root/runs/miniature pretrain_yaml=pretrain.yaml
while (($#)); do
    [[ $# -ge 2 || $1 == -h || $1 == --help ]] || fail "$1: an option takes a value behind a space; see --help"
    case $1 in
        --budget-minutes) minutes=$2 && shift 2 ;;
        --assets) assets=$2 && shift 2 ;;
        --run-dir) [[ -n $2 && $2 != --* ]] || fail "--run-dir='$2' must be a folder's path"
                   run_dir=$(realpath -m -- "$2")
                   shift 2 ;;
        --model.base) [[ $2 == scratch ]] || fail "--model.base=$2 must be 'scratch'; leave it out to start from SmolLM2-135M-Instruct"
                      pretrain_yaml=pretrain_scratch.yaml && shift 2 ;;
        -h | --help) usage && exit 0 ;;
        *) fail "$1 is not an option; see --help" ;;
    esac
done
[[ $minutes =~ ^[1-9][0-9]{0,3}$ ]] || fail "--budget-minutes=$minutes must be a whole number from 1 to 9999; 8, 20 and 90 were measured"
if [[ -z $assets ]]; then if ((minutes < 10)); then assets=ci; else assets=full; fi; fi
[[ $assets == ci || $assets == full ]] || fail "--assets=$assets must be ci or full"

bash "$root/tools/install.sh"
amounts=$("$python" "$here/budget.py" "$minutes")
eval "$amounts"

enter "$run_dir"
mkdir -p logs
settings="budget_minutes=$minutes assets=$assets pretrain=$pretrain_yaml"
[[ ! -f settings.txt || $(cat settings.txt) == "$settings" ]] ||
    fail "$run_dir was made with $(cat settings.txt), not $settings; repeat that, or choose another --run-dir"
echo "$settings" >settings.txt

export OMP_NUM_THREADS=${OMP_NUM_THREADS:-2}

# step NAME COMMAND...: run one step, show what it says, keep it in logs/, note how long it took.
step() {
    local name=$1 start=$EPOCHREALTIME
    shift
    echo "== $name"
    if ! "$@" 2> >(tee "logs/$name.err" >&2) | tee "logs/$name.log"; then
        fail "step $name failed; its output is in $run_dir/logs/$name.log and .err; mend the cause and repeat the command"
    fi
    "$python" -c "import json,sys; print(json.dumps({'step': sys.argv[1], 'seconds': round(float(sys.argv[3]) - float(sys.argv[2]), 1)}))" \
        "$name" "$start" "$EPOCHREALTIME" >>timings.jsonl
}
# run NAME TOOL YAML OVERRIDES...: the usual kind of step.
run() { step "$1" tool "${@:2}"; }
# train NAME TOOL YAML OVERRIDES...: two ranks, one thread each.
train() {
    local name=$1 tool=$2 yaml=$3
    shift 3
    OMP_NUM_THREADS=1 step "$name" "$python" "$root/tools/launch.py" --standalone --nproc-per-node 2 "$root/tools/$tool.py" --config "$here/$yaml.yaml" "$@"
}

[[ -s timings.jsonl ]] || "$python" "$here/estimate.py" "$minutes"

# Real models, voices and texts, pinned by version and hash, in the cache beside .venv (shared by all runs).
run fetch fetch_assets assets --set "$assets"
run unpack unpack_assets assets --set "$assets"

# a. Wikipedia leads and geography facts; what may never be heard is marked.
run corpus prepare_corpus corpus
# b. Synthetic voices read part of it; recordings of people are held out.
few=$flite_utterances
run audio-train speak_corpus audio_train --utterances "{hibari: $hibari_utterances, slt: $few, rms: $few, awb: $few, kal16: $few}"
run audio-heldout speak_corpus audio_heldout --utterances "{hibari: $heldout_utterances}"
run audio-human speak_corpus audio_human
run audio-questions speak_corpus audio_questions --items "$questions"
run audio-cloze speak_corpus audio_cloze --items "$cloze_items"

# c. The speech tokenizer: Whisper's encoder with a codebook in the middle, trained through recognition.
run tokenizer train_speech_tokenizer speech_tokenizer --steps "$tokenizer_steps"
for part in train heldout human questions cloze; do
    run "codes-$part" tokenize_speech codes --audio "audio/$part" --output "codes/$part"
done
run tokenizer-report tokenizer_report tokenizer_report --max_utterances "$heldout_utterances"

# d. The text-to-token model: the same trainer as the big model's, two data parallel ranks; short pairs first.
run text-to-token-vocabulary build_vocabulary text_to_token_vocabulary
run text-to-token-documents build_task_documents task_text_to_token
run text-to-token-packed pack_shards pack_text_to_token
# Alignment is learnt on what is short: pairs up to 3 seconds first, then up to 5.5, each for an eighth of the tokens.
tokens=$((text_to_token_steps * 4 * 512)) first=()
for part in short:3 middle:5.5; do
    name=${part%:*}
    run "text-to-token-$name" build_task_documents task_text_to_token --utterances.max_duration_s "${part#*:}" --output "t2t/$name/documents"
    run "text-to-token-$name-packed" pack_shards pack_text_to_token --input "t2t/$name/documents" --output "t2t/$name/packed"
    first+=("--first.$name.tokens" $((tokens / 8)))
done
train text-to-token train_text_to_token text_to_token --train.tokens $tokens "${first[@]}"
run text-to-token-export convert_to_hf text_to_token_export
run vocabulary build_vocabulary vocabulary
run round-trip round_trip round_trip --utterances.max_utterances "$round_trip_texts"

# e. Interleaving: spans of text become speech tokens; beside it text, recognition and synthesis data.
run interleaved build_interleaved interleaved \
    --corpora.wikipedia.max_documents "$interleaved_documents" \
    --corpora.geography.max_documents "$geography_documents" --corpora.geography.renderings "$geography_renderings"
run interleaved-heldout build_interleaved interleaved_heldout --corpora.wikipedia.max_documents "$heldout_documents"
run text tokenize_text text_tokens
run text-heldout tokenize_text text_heldout_tokens
for task in recognition synthesis; do
    run "$task" build_task_documents "task_$task"
    run "$task-heldout" build_task_documents "task_${task}_heldout"
done
for source in text interleaved recognition synthesis; do
    run "pack-$source" pack_shards "pack_$source"
    run "pack-$source-heldout" pack_shards "pack_${source}_heldout"
done

# f. Pre-training: the first half pipeline parallel; stopped; the second half resumed as data parallel.
run base convert_from_hf base
[[ $pretrain_yaml == pretrain.yaml ]] || pretrain_steps=$((pretrain_steps * 4)) # the 18M model is that much faster
tokens=$((pretrain_steps * 4 * 512)) half=$((pretrain_steps / 2))
if [[ ! -f pretrain/done.json ]]; then
    # Held-out rows are scored at the stop, too: the second half must go on from there.
    options=(--train.tokens "$tokens" --logging.validate_every_steps "$half")
    train pretrain-first-half pretrain "${pretrain_yaml%.yaml}" "${options[@]}" --train.stop_at_step $half \
        --parallel.pipeline_model_parallel_size 2
    train pretrain-second-half pretrain "${pretrain_yaml%.yaml}" "${options[@]}" --checkpoint.resume required
fi

# g. Evaluation before and after. h. Export, samples, and something to hear.
run export-before convert_to_hf export_before
run export convert_to_hf export
run evaluation-before evaluate evaluation --held_out.max_documents "$heldout_documents" \
    --model hf_before --output evaluation/before
run evaluation-after evaluate evaluation --held_out.max_documents "$heldout_documents"
run samples generate generate
run speech-decoder train_speech_decoder speech_decoder --steps "$decoder_steps"
run decode decode_speech decode

# i. The report.
run report report report
echo "report: $run_dir/report.md"
