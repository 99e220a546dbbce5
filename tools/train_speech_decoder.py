#!/usr/bin/env python
"""Train the network from speech tokens to mel spectrograms: audio shards and code shards in, a decoder folder out."""

import logging

from megatron_speech.config.parsing.parse import parse_config, user_errors
from megatron_speech.config.stages.speech_decoder import TrainSpeechDecoderConfig


def main() -> None:
    config = parse_config(TrainSpeechDecoderConfig, description=__doc__ or "")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    from megatron_speech.speech_decoder.training.run import train_speech_decoder

    with user_errors():
        train_speech_decoder(config)


if __name__ == "__main__":
    main()
