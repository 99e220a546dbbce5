#!/usr/bin/env python
"""Text corpora (JSONL) to interleaved speech-text token shards: spans of words are replaced by speech tokens that the
text-to-token model writes for them."""

from megatron_speech.config.interleave import InterleaveConfig
from megatron_speech.config.parse import parse_config, user_errors


def main() -> None:
    config = parse_config(InterleaveConfig, description=__doc__ or "")
    from megatron_speech.interleave.build import run_build

    with user_errors():
        run_build(config)


if __name__ == "__main__":
    main()
