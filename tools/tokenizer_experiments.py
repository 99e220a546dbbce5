#!/usr/bin/env python
"""Put speech tokenizers that differ in a setting or two side by side: report.md and wer.png from their manifests."""

import logging

from megatron_speech.config.parsing.parse import parse_config, user_errors
from megatron_speech.config.reports.tokenizer_report import TokenizerExperimentsConfig


def main() -> None:
    config = parse_config(TokenizerExperimentsConfig, description=__doc__ or "")
    from megatron_speech.reports.experiments import tokenizer_experiments

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with user_errors():
        tokenizer_experiments(config)


if __name__ == "__main__":
    main()
