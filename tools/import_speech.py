#!/usr/bin/env python
"""`megatron-speech import_speech`."""

from megatron_speech.commands.main import run_tool

if __name__ == "__main__":
    run_tool("import_speech")
