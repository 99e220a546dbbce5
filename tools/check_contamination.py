#!/usr/bin/env python
"""`megatron-speech check_contamination`."""

from megatron_speech.commands.main import run_tool

if __name__ == "__main__":
    run_tool("check_contamination")
