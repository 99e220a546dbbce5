#!/usr/bin/env bash
# Run the steps of steps.py: bash examples/own_data/run.sh --help
exec bash "$(dirname "${BASH_SOURCE[0]}")/../run.sh" own_data "$@"
