#!/usr/bin/env python
"""`megatron-speech text_to_token_curve`."""

from megatron_speech.commands.main import run_tool

if __name__ == "__main__":
    run_tool("text_to_token_curve")
