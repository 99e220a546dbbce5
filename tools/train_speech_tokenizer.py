#!/usr/bin/env python
"""`megatron-speech train_speech_tokenizer`."""

from megatron_speech.commands.main import run_tool

if __name__ == "__main__":
    run_tool("train_speech_tokenizer")
