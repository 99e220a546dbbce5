#!/usr/bin/env python
"""`megatron-speech stream_decode`."""

from megatron_speech.commands.main import run_tool

if __name__ == "__main__":
    run_tool("stream_decode")
