#!/usr/bin/env bash
# Run the steps of steps.py: bash examples/speech_tokenizer/run.sh --help
exec bash "$(dirname "${BASH_SOURCE[0]}")/../run.sh" speech_tokenizer "$@"
