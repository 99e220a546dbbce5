#!/usr/bin/env python
"""Show what a folder of token shards holds: counts, modality shares, first samples."""

from megatron_speech.config.parsing.parse import parse_config, user_errors
from megatron_speech.config.stages.shards import InspectShardsConfig


def main() -> None:
    config = parse_config(InspectShardsConfig, description=__doc__ or "")
    import logging

    from megatron_speech.data.shards.inspect import inspect_shards

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with user_errors():
        for line in inspect_shards(config):
            print(line)


if __name__ == "__main__":
    main()
