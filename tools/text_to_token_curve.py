#!/usr/bin/env python
"""Put text-to-token models that learnt from different pairs side by side: report.md and curve.png."""

import logging

from megatron_speech.config.parsing.parse import parse_config, user_errors
from megatron_speech.config.reports.text_to_token_curve import TextToTokenCurveConfig


def main() -> None:
    config = parse_config(TextToTokenCurveConfig, description=__doc__ or "")
    from megatron_speech.reports.text_to_token_curve import text_to_token_curve

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with user_errors():
        text_to_token_curve(config)


if __name__ == "__main__":
    main()
