#!/usr/bin/env python
"""Make the sidecars and shards.json of a folder of token shards again from its tars, checking all that they hold."""

from megatron_speech.config.parsing.parse import parse_config, user_errors
from megatron_speech.config.stages.shards import IndexShardsConfig


def main() -> None:
    config = parse_config(IndexShardsConfig, description=__doc__ or "")
    import logging

    from megatron_speech.data.shards.rebuild import index_shards

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with user_errors():
        index_shards(config)


if __name__ == "__main__":
    main()
