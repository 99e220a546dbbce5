#!/usr/bin/env python
"""Lay transcribed speech tokens out as training documents of one task: recognition, synthesis or text_to_token."""

import logging

from megatron_speech.config.parsing.parse import parse_config, user_errors
from megatron_speech.config.stages.text_to_token import BuildTaskDocumentsConfig


def main() -> None:
    config = parse_config(BuildTaskDocumentsConfig, description=__doc__ or "")
    from megatron_speech.text_to_token.task_documents import build_task_documents

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with user_errors():
        build_task_documents(config)


if __name__ == "__main__":
    main()
