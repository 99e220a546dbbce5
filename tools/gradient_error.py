#!/usr/bin/env python
"""`megatron-speech gradient_error`."""

from megatron_speech.commands.main import run_tool

if __name__ == "__main__":
    run_tool("gradient_error")
