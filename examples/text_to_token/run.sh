#!/usr/bin/env bash
# Run the steps of steps.py: bash examples/text_to_token/run.sh --help
exec bash "$(dirname "${BASH_SOURCE[0]}")/../run.sh" text_to_token "$@"
