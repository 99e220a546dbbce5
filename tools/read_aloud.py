#!/usr/bin/env python
"""`megatron-speech read_aloud`."""

from megatron_speech.commands.main import run_tool

if __name__ == "__main__":
    run_tool("read_aloud")
