#!/usr/bin/env python
"""Compare gradients of a checkpoint in several number formats with float32's, on the same rows."""

import logging

from megatron_speech.config.parsing.parse import parse_config, user_errors
from megatron_speech.config.reports.precision_report import GradientErrorConfig


def main() -> None:
    config = parse_config(GradientErrorConfig, description=__doc__ or "")
    from megatron_speech.training.gradient_error import gradient_error

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with user_errors():
        gradient_error(config)


if __name__ == "__main__":
    main()
