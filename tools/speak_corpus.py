#!/usr/bin/env python
"""`megatron-speech speak_corpus`."""

from megatron_speech.commands.main import run_tool

if __name__ == "__main__":
    run_tool("speak_corpus")
