#!/usr/bin/env bash
# Run the steps of steps.py: bash examples/precision/run.sh --help
exec bash "$(dirname "${BASH_SOURCE[0]}")/../run.sh" precision "$@"
