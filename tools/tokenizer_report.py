#!/usr/bin/env python
"""`megatron-speech tokenizer_report`."""

from megatron_speech.commands.main import run_tool

if __name__ == "__main__":
    run_tool("tokenizer_report")
