"""Budget and learning rate as pure functions of the step number, so that resuming needs no schedule state.

A step is a global batch of `train.global_batch_size` rows of `data.seq_length` tokens. Price: a run whose budget is
changed and then resumed follows the new curve from its step on, not the old one.
"""

from __future__ import annotations

import math

from megatron_speech.config.training import OptimizerConfig, TrainConfig


def num_steps(train: TrainConfig, *, seq_length: int) -> int:
    """Optimizer steps in the token budget, rounded up to whole global batches."""
    return -(-train.tokens // (train.global_batch_size * seq_length))


def learning_rate(step: int, *, config: OptimizerConfig, total_steps: int) -> float:
    """Rate of step 0 .. total_steps - 1: linear warm-up to `lr`, then decay that reaches `min_lr` at the last step.

    Step s counts as s + 1 tokens' worth of progress, so that the first step already learns.
    """
    warmup_steps = round(config.lr_warmup_fraction * total_steps)
    if step < warmup_steps:
        return config.lr * (step + 1) / warmup_steps
    decay_steps = max(total_steps - warmup_steps, 1)
    progress = min((step + 1 - warmup_steps) / decay_steps, 1.0)
    if config.lr_decay_style == "constant":
        return config.lr
    share = 1 - progress if config.lr_decay_style == "linear" else 0.5 * (1 + math.cos(math.pi * progress))
    return config.min_lr + (config.lr - config.min_lr) * share
