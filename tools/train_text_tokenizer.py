#!/usr/bin/env python
"""Train a SentencePiece tokenizer on text corpora, and export it to Hugging Face's format with equal ids."""

from megatron_speech.config.parsing.parse import parse_config, user_errors
from megatron_speech.config.stages.train_text_tokenizer import TrainTextTokenizerConfig


def main() -> None:
    config = parse_config(TrainTextTokenizerConfig, description=__doc__ or "")
    import logging

    from megatron_speech.tokenize_text.train_tokenizer import train_text_tokenizer

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with user_errors():
        train_text_tokenizer(config)


if __name__ == "__main__":
    main()
