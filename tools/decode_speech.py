#!/usr/bin/env python
"""Decode code shards to WAV files beside the originals, and score both by word errors and DNSMOS."""

import logging

from megatron_speech.config.parsing.parse import parse_config, user_errors
from megatron_speech.config.stages.speech_decoder import DecodeSpeechConfig


def main() -> None:
    config = parse_config(DecodeSpeechConfig, description=__doc__ or "")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    from megatron_speech.evaluation.speech.resynthesis import decode_speech

    with user_errors():
        decode_speech(config)


if __name__ == "__main__":
    main()
