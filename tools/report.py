#!/usr/bin/env python
"""Write report.md and its figures into a run folder, from the manifests and metric lines that lie there."""

import logging

from megatron_speech.config.parsing.parse import parse_config, user_errors
from megatron_speech.config.reports.report import ReportConfig


def main() -> None:
    config = parse_config(ReportConfig, description=__doc__ or "")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    from megatron_speech.reports.miniature.build import report

    with user_errors():
        report(config)


if __name__ == "__main__":
    main()
