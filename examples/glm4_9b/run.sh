#!/usr/bin/env bash
# GLM-4-9B on a cluster: list the parameters of every rank, then submit the run. From the root of the repository.
# usage: bash examples/glm4_9b/run.sh [options of sbatch, such as --nodes=16]
#
# Expects under runs/glm4_9b what the miniature's steps make of full-size inputs: base/ (convert_from_hf) and packed/ (pack_shards).
set -euo pipefail
here=examples/glm4_9b
[[ -f $here/pretrain.yaml ]] || { echo "error: $PWD is not the root of the repository; cd there" >&2; exit 2; }

options=("$@")
# train NAME FILE: submit one training run.
train() { sbatch --job-name="$1" "${options[@]}" slurm/pretrain.sbatch --config "$here/$2"; }

.venv/bin/python tools/plan_parameters.py --config "$here/pretrain.yaml" --num_text_ids 151552 --num_speech_ids 16384
train glm4_9b pretrain.yaml
