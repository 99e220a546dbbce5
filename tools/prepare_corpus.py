#!/usr/bin/env python
"""Turn the fetched texts into a corpus: one JSON document per line.

Articles to train on and held out, geography facts, questions and cloze items. Articles are split by title; what must
stay unheard is marked.
"""

import logging

from megatron_speech.config.parsing.parse import parse_config, user_errors
from megatron_speech.config.stages.miniature import PrepareCorpusConfig


def main() -> None:
    config = parse_config(PrepareCorpusConfig, description=__doc__)
    from megatron_speech.miniature.corpus import prepare_corpus

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with user_errors():
        prepare_corpus(config)


if __name__ == "__main__":
    main()
