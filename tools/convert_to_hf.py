#!/usr/bin/env python
"""Export a training checkpoint (or the newest one of a run) to a Hugging Face folder with its extended tokenizer."""

import logging

from megatron_speech.config.parsing.parse import parse_config, user_errors
from megatron_speech.config.stages.convert import ConvertToHfConfig


def main() -> None:
    config = parse_config(ConvertToHfConfig, description=__doc__ or "")
    from megatron_speech.checkpoint.hf_export import convert_to_hf

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with user_errors():
        convert_to_hf(config)


if __name__ == "__main__":
    main()
