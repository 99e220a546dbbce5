#!/usr/bin/env python
"""`megatron-speech train_causal_decoder`."""

from megatron_speech.commands.main import run_tool

if __name__ == "__main__":
    run_tool("train_causal_decoder")
