#!/usr/bin/env bash
# Install what is needed, then run the steps of this example: bash examples/claim/run.sh --help
exec bash "$(dirname "${BASH_SOURCE[0]}")/../run.sh" claim "$@"
