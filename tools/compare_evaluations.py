#!/usr/bin/env python
"""`megatron-speech compare_evaluations`."""

from megatron_speech.commands.main import run_tool

if __name__ == "__main__":
    run_tool("compare_evaluations")
