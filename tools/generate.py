#!/usr/bin/env python
"""Let an exported model speak and write: spoken contexts continued in text, speech recognised, text spoken."""

import logging

from megatron_speech.config.parsing.parse import parse_config, user_errors
from megatron_speech.config.stages.generate import GenerateConfig


def main() -> None:
    config = parse_config(GenerateConfig, description=__doc__ or "")
    from megatron_speech.evaluation.samples import generate

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with user_errors():
        generate(config)
        print((config.output / "samples.json").read_text())


if __name__ == "__main__":
    main()
