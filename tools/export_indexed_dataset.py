#!/usr/bin/env python
"""Let megatron-core open token shards as `IndexedDataset`s without a copy: an .idx and a link for each of them."""

from megatron_speech.config.parsing.parse import parse_config, user_errors
from megatron_speech.config.stages.shards import ExportIndexedDatasetConfig


def main() -> None:
    config = parse_config(ExportIndexedDatasetConfig, description=__doc__ or "")
    import logging

    from megatron_speech.data.shards.export_indexed import export_indexed_dataset

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with user_errors():
        export_indexed_dataset(config)


if __name__ == "__main__":
    main()
