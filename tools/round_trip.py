#!/usr/bin/env python
"""Synthesise held-out texts, read the tokens back with the tokenizer's recogniser, and report the word error rate."""

import logging

from megatron_speech.config.parsing.parse import parse_config, user_errors
from megatron_speech.config.stages.text_to_token import RoundTripConfig


def main() -> None:
    config = parse_config(RoundTripConfig, description=__doc__ or "")
    from megatron_speech.text_to_token.round_trip import round_trip

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with user_errors():
        round_trip(config)


if __name__ == "__main__":
    main()
