#!/usr/bin/env python
"""Print each line of text on standard input as a voice would say it, or `unspeakable: <reason>: <sign or words>`.

Sentences are judged as build_interleaved judges them, so that one can look before a corpus is spoken.
"""

from megatron_speech.config.parsing.parse import parse_config, user_errors
from megatron_speech.config.stages.read_aloud import ReadAloudConfig


def main() -> None:
    config = parse_config(ReadAloudConfig, description=__doc__ or "")
    import sys

    from megatron_speech.text_normalization.read_aloud import read_aloud

    with user_errors():
        read_aloud(sys.stdin.buffer, sys.stdout.buffer, language=config.language)


if __name__ == "__main__":
    main()
