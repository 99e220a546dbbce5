#!/usr/bin/env python
"""Join a text and a speech tokenizer into one vocabulary folder: vocabulary.json and a Hugging Face tokenizer."""

from megatron_speech.config.parsing.parse import parse_config, user_errors
from megatron_speech.config.stages.build_vocabulary import BuildVocabularyConfig


def main() -> None:
    config = parse_config(BuildVocabularyConfig, description=__doc__ or "")
    import logging

    from megatron_speech.text_tokenizer.vocabulary_folder import build_vocabulary

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with user_errors():
        build_vocabulary(config)


if __name__ == "__main__":
    main()
