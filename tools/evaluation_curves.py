#!/usr/bin/env python
"""`megatron-speech evaluation_curves`."""

from megatron_speech.commands.main import run_tool

if __name__ == "__main__":
    run_tool("evaluation_curves")
