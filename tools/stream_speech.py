#!/usr/bin/env python
"""Encode speech while it is being spoken: raw samples or an audio file in, a JSON line of codes per block out."""

import os
import sys

from megatron_speech.config.parsing.parse import parse_config, user_errors
from megatron_speech.config.stages.stream_speech import StreamSpeechConfig


def main() -> None:
    config = parse_config(StreamSpeechConfig, description=__doc__ or "")
    from megatron_speech.speech_tokenizer.live import stream_speech

    with user_errors():
        try:
            stream_speech(config, sys.stdin.buffer, lambda line: print(line, flush=True))
        except BrokenPipeError:
            # Nobody reads any more; Python would complain once again when it closes the pipe.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
