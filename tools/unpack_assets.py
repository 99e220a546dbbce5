#!/usr/bin/env python
"""`megatron-speech unpack_assets`."""

from megatron_speech.commands.main import run_tool

if __name__ == "__main__":
    run_tool("unpack_assets")
