#!/usr/bin/env python
"""Train a speech tokenizer: a Whisper model and transcribed audio shards in, a Hugging Face style folder out.

Alone or by tools/launch.py. Repeated, it goes on from its newest checkpoint; Ctrl-C, SIGTERM and SIGUSR1 save and
leave with status 0.
"""

from megatron_speech.config.parsing.parse import parse_config, user_errors
from megatron_speech.config.stages.train_speech_tokenizer import TrainSpeechTokenizerConfig


def main() -> None:
    config = parse_config(TrainSpeechTokenizerConfig, description=__doc__ or "")
    import logging

    from megatron_speech.parallel.world import world_from_environment
    from megatron_speech.speech_tokenizer.training.run import train_speech_tokenizer

    with user_errors():
        rank, _ = world_from_environment()
        logging.basicConfig(level=logging.INFO if rank == 0 else logging.WARNING, format="%(message)s")
        train_speech_tokenizer(config)


if __name__ == "__main__":
    main()
