#!/usr/bin/env bash
# Install the pinned packages, unless they are there, and run an example: bash examples/run.sh NAME [options]
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bash "$root/tools/install.sh" >&2
exec "$root/.venv/bin/python" -m megatron_speech.commands run "$@"
