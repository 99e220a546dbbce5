#!/usr/bin/env python
"""Train a model on packed shards: the text-to-token model or the speech-text model, alone or by tools/launch.py.

Writes a run folder (checkpoints, metrics, done.json). Ctrl-C, SIGTERM and SIGUSR1 save and leave with
status 0.
"""

from megatron_speech.config.parsing.parse import parse_config, user_errors
from megatron_speech.config.run.training import PretrainConfig


def main() -> None:
    """Parse, then train."""
    config = parse_config(PretrainConfig, description=__doc__)
    from megatron_speech.training.run import pretrain

    with user_errors():
        pretrain(config)


if __name__ == "__main__":
    main()
