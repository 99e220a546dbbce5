#!/usr/bin/env python
"""Word error rates with and without the tokenizer's bottleneck on held-out speech, and how its codebook is used."""

from megatron_speech.config.parsing.parse import parse_config, user_errors
from megatron_speech.config.reports.tokenizer_report import TokenizerReportConfig


def main() -> None:
    config = parse_config(TokenizerReportConfig, description=__doc__ or "")
    import logging

    from megatron_speech.evaluation.speech.tokenizer import tokenizer_report

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with user_errors():
        tokenizer_report(config)


if __name__ == "__main__":
    main()
