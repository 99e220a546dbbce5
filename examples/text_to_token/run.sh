#!/usr/bin/env bash
# Install what is needed, then run the steps of this example: bash examples/text_to_token/run.sh --help
exec bash "$(dirname "${BASH_SOURCE[0]}")/../run.sh" text_to_token "$@"
