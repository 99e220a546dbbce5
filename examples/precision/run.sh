#!/usr/bin/env bash
# Does FP8 cost anything? A small model on real interleaved tokens in float32, bfloat16 and each FP8 recipe (emulated on a CPU).
# usage: bash examples/precision/run.sh PACKED [--steps 300] [--run-dir runs/precision]
#
# PACKED holds interleaved and interleaved-heldout, rows of 512 tokens, as examples/miniature/run.sh leaves them in runs/miniature/packed.
# Two cores need about an hour and a quarter for 300 steps of five runs. What is done is skipped: the command can be stopped and repeated.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=examples/common.sh
source "$here/../common.sh"

[[ ${1:-} != -h && ${1:-} != --help ]] || { usage; exit 0; }
[[ $# -ge 1 && $1 != -* ]] || fail "the first word must be the folder of packed rows; see --help"
packed=$(realpath -m "$1") steps=300 run_dir=$root/runs/precision
shift
options "--steps --run-dir" "$@"
run_dir=$(realpath -m "$run_dir")
[[ $steps =~ ^[1-9][0-9]*$ ]] || fail "--steps=$steps must be a whole number above 0"
[[ -d $packed/interleaved ]] || fail "$packed holds no interleaved rows; make them with examples/miniature/run.sh"

bash "$root/tools/install.sh"
mkdir -p "$run_dir"
cd "$run_dir"
[[ ! -e packed || $(realpath packed) == "$packed" ]] || fail "$run_dir was made from $(realpath packed); choose another --run-dir"
link "$packed" packed
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-2}

tokens=$((steps * 4 * 512))
fp8=(--precision.fp8_emulation true --precision.fp8)

run float32 pretrain pretrain --folder float32 --train.tokens $tokens --precision.dtype float32
run bfloat16 pretrain pretrain --folder bfloat16 --train.tokens $tokens
# The formats that Transformer Engine's recipes take by themselves: block-wise scales need no E5M2.
run delayed pretrain pretrain --folder delayed --train.tokens $tokens "${fp8[@]}" hybrid --precision.fp8_recipe delayed
run tensorwise pretrain pretrain --folder tensorwise --train.tokens $tokens "${fp8[@]}" hybrid --precision.fp8_recipe tensorwise
run blockwise pretrain pretrain --folder blockwise --train.tokens $tokens "${fp8[@]}" e4m3 --precision.fp8_recipe blockwise

run gradients gradient_error gradients
run report precision_report report --last_steps $((steps < 50 ? steps : 50))
echo "report: $run_dir/report.md"
