#!/usr/bin/env python
"""Encode text corpora (JSON lines or Parquet, files or folders) into token document shards."""

from megatron_speech.config.parsing.parse import parse_config, user_errors
from megatron_speech.config.stages.tokenize_text import TokenizeTextConfig


def main() -> None:
    config = parse_config(TokenizeTextConfig, description=__doc__ or "")
    import logging

    from megatron_speech.corpus.text_tasks import text_tasks
    from megatron_speech.tokenize_text.run import tokenize_text

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with user_errors():
        if config.run.part == "count":
            print(len(text_tasks(config.corpora, files_per_task=config.files_per_task)))
        else:
            tokenize_text(config)


if __name__ == "__main__":
    main()
