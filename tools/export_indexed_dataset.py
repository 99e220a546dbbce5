#!/usr/bin/env python
"""`megatron-speech export_indexed_dataset`."""

from megatron_speech.commands.main import run_tool

if __name__ == "__main__":
    run_tool("export_indexed_dataset")
