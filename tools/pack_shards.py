#!/usr/bin/env python
"""Pack token documents into rows of one length, ready for training."""

from megatron_speech.config.parsing.parse import parse_config, user_errors
from megatron_speech.config.stages.pack_shards import PackShardsConfig


def main() -> None:
    config = parse_config(PackShardsConfig, description=__doc__ or "")
    import logging

    from megatron_speech.data.packing.pack import pack_shards

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with user_errors():
        pack_shards(config)


if __name__ == "__main__":
    main()
