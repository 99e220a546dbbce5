#!/usr/bin/env bash
# Run the steps of steps.py: bash examples/mixture/run.sh --help
exec bash "$(dirname "${BASH_SOURCE[0]}")/../run.sh" mixture "$@"
