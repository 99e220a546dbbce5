#!/usr/bin/env python
"""Write report.md and precision.png beside training runs that differ in precision alone."""

import logging

from megatron_speech.config.parsing.parse import parse_config, user_errors
from megatron_speech.config.reports.precision_report import PrecisionReportConfig


def main() -> None:
    config = parse_config(PrecisionReportConfig, description=__doc__ or "")
    from megatron_speech.reports.precision import precision_report

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with user_errors():
        precision_report(config)


if __name__ == "__main__":
    main()
