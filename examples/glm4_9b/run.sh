#!/usr/bin/env bash
# Run the steps of steps.py: bash examples/glm4_9b/run.sh --help
exec bash "$(dirname "${BASH_SOURCE[0]}")/../run.sh" glm4_9b "$@"
