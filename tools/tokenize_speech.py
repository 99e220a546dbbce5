#!/usr/bin/env python
"""Encode audio shards with a speech tokenizer: shards of bare codes out, keys and metadata kept."""

from megatron_speech.config.parsing.parse import parse_config, user_errors
from megatron_speech.config.stages.tokenize_speech import TokenizeSpeechConfig


def main() -> None:
    config = parse_config(TokenizeSpeechConfig, description=__doc__ or "")
    import logging

    from megatron_speech.audio.shards import audio_shards
    from megatron_speech.speech_tokenizer.corpus.input import audio_tasks
    from megatron_speech.speech_tokenizer.corpus.run import tokenize_speech

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with user_errors():
        if config.run.part == "count":
            print(len(audio_tasks(audio_shards(config.audio), config.tasks)))
        else:
            tokenize_speech(config)


if __name__ == "__main__":
    main()
