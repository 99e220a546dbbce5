#!/usr/bin/env bash
# Install what is needed, then run the steps of this example: bash examples/own_data/run.sh --help
exec bash "$(dirname "${BASH_SOURCE[0]}")/../run.sh" own_data "$@"
