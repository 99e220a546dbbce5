#!/usr/bin/env python
"""Import a Hugging Face text model: its weights, with the vocabulary grown by speech, become a training checkpoint."""

import logging

from megatron_speech.config.parsing.parse import parse_config, user_errors
from megatron_speech.config.stages.convert import ConvertFromHfConfig


def main() -> None:
    config = parse_config(ConvertFromHfConfig, description=__doc__ or "")
    from megatron_speech.checkpoint.hf_import import convert_from_hf

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with user_errors():
        convert_from_hf(config)


if __name__ == "__main__":
    main()
