#!/usr/bin/env python
"""`megatron-speech round_trip`."""

from megatron_speech.commands.main import run_tool

if __name__ == "__main__":
    run_tool("round_trip")
