#!/usr/bin/env python
"""Text corpora (JSON lines, Parquet, WET; files or folders) to interleaved speech-text token shards.

Spans of words are replaced by speech tokens that the text-to-token model writes for them.
"""

from megatron_speech.config.parsing.parse import parse_config, user_errors
from megatron_speech.config.stages.build_interleaved import BuildInterleavedConfig


def main() -> None:
    config = parse_config(BuildInterleavedConfig, description=__doc__ or "")
    import logging

    from megatron_speech.interleave.build import build_interleaved
    from megatron_speech.interleave.corpus_shards import interleave_tasks

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with user_errors():
        if config.run.part == "count":
            print(len(interleave_tasks(config)))
        else:
            build_interleaved(config)


if __name__ == "__main__":
    main()
