#!/usr/bin/env python
"""`megatron-speech convert_from_hf`."""

from megatron_speech.commands.main import run_tool

if __name__ == "__main__":
    run_tool("convert_from_hf")
