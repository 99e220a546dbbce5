#!/usr/bin/env bash
# All checks, from nothing: install, lint, types, arrows between rooms, all tests, slow ones too (the 8-minute main job).
# usage: bash tests/run.sh [pytest arguments]
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
bash tools/install.sh
export OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1
bin=.venv/bin
"$bin/ruff" check .
"$bin/ruff" format --check .
"$bin/mypy"
"$bin/lint-imports"
"$bin/shellcheck" -x tests/run.sh tools/*.sh examples/*.sh examples/*/*.sh slurm/*.sbatch
"$bin/python" -m pytest -m "" "$@"
