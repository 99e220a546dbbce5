#!/usr/bin/env python
"""A Hugging Face folder to evaluation.json: cloze in four modality pairs, written and spoken questions on capitals, and
the loss by modality on held-out documents, all by likelihood and with bootstrap intervals."""

from megatron_speech.config.parsing.parse import parse_config, user_errors
from megatron_speech.config.stages.evaluate import EvaluateConfig


def main() -> None:
    config = parse_config(EvaluateConfig, description=__doc__ or "")
    from megatron_speech.evaluation.harness import evaluate

    with user_errors():
        evaluate(config)


if __name__ == "__main__":
    main()
