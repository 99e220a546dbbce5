#!/usr/bin/env python
"""A Hugging Face folder to evaluation.json: cloze, questions and held-out loss, by likelihood.

Cloze in four modality pairs, written and spoken questions on capitals, and the loss by modality on held-out documents,
all with bootstrap intervals.
"""

from megatron_speech.config.parsing.parse import parse_config, user_errors
from megatron_speech.config.stages.evaluate import EvaluateConfig


def main() -> None:
    config = parse_config(EvaluateConfig, description=__doc__ or "")
    import logging

    from megatron_speech.evaluation.harness import evaluate

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with user_errors():
        evaluate(config)


if __name__ == "__main__":
    main()
