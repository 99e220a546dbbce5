#!/usr/bin/env python
"""`megatron-speech probe_layers`."""

from megatron_speech.commands.main import run_tool

if __name__ == "__main__":
    run_tool("probe_layers")
