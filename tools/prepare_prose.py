#!/usr/bin/env python
"""Turn the fetched texts into four corpora of English prose to be interleaved: articles, days, plays and recipes.

One JSON document per line, each with its licence and language.
"""

import logging

from megatron_speech.config.parsing.parse import parse_config, user_errors
from megatron_speech.config.stages.miniature import PrepareProseConfig


def main() -> None:
    config = parse_config(PrepareProseConfig, description=__doc__)
    from megatron_speech.miniature.prose import prepare_prose

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with user_errors():
        prepare_prose(config)


if __name__ == "__main__":
    main()
