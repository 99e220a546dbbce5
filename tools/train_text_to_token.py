#!/usr/bin/env python
"""`megatron-speech train_text_to_token`."""

from megatron_speech.commands.main import run_tool

if __name__ == "__main__":
    run_tool("train_text_to_token")
