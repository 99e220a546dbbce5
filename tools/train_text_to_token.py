#!/usr/bin/env python
"""Train a text-to-token model on packed (text, speech) pairs, alone or by tools/launch.py.

It is tools/pretrain.py with this task's data and defaults: the same loop, signals and run folder, whose config.yaml
tools/pretrain.py repeats.
"""

from megatron_speech.config.parsing.parse import parse_config, user_errors
from megatron_speech.config.stages.train_text_to_token import TrainTextToTokenConfig


def main() -> None:
    """Parse, then train."""
    config = parse_config(TrainTextToTokenConfig, description=__doc__ or "")
    from megatron_speech.training.run import train_text_to_token

    with user_errors():
        train_text_to_token(config)


if __name__ == "__main__":
    main()
