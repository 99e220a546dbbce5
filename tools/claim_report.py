#!/usr/bin/env python
"""`megatron-speech claim_report`."""

from megatron_speech.commands.main import run_tool

if __name__ == "__main__":
    run_tool("claim_report")
