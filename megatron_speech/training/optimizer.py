"""Builds megatron-core's optimizer: AdamW with float32 master weights and norm clipping, sharded if asked.

Learning rate and weight decay are set before every step, so the optimizer has no schedule of its own. Only matrices
have weight decay: megatron-core marks norms and biases with ``wd_mult`` 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from megatron.core.optimizer import MegatronOptimizer, get_megatron_optimizer
from megatron.core.optimizer import OptimizerConfig as MegatronOptimizerConfig
from torch import nn

from megatron_speech.config.run.parallel import ParallelConfig, PrecisionConfig
from megatron_speech.config.run.training import OptimizerConfig


def build_optimizer(
    chunks: Sequence[nn.Module], *, config: OptimizerConfig, parallel: ParallelConfig, precision: PrecisionConfig
) -> MegatronOptimizer:
    """The optimizer of this rank's data-parallel-wrapped chunks."""
    return get_megatron_optimizer(
        MegatronOptimizerConfig(
            optimizer="adam",
            lr=config.lr,
            min_lr=config.min_lr,
            weight_decay=config.weight_decay,
            adam_beta1=config.adam_beta1,
            adam_beta2=config.adam_beta2,
            adam_eps=config.adam_eps,
            clip_grad=config.clip_grad,
            bf16=precision.dtype == "bfloat16",
            params_dtype=getattr(torch, precision.dtype),
            use_distributed_optimizer=parallel.use_distributed_optimizer,
        ),
        list(chunks),
        use_gloo_process_groups=False,
    )


def set_rates(optimizer: MegatronOptimizer, *, lr: float, weight_decay: float) -> None:
    """Set learning rate and weight decay for the next step."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_mult"]
        group["weight_decay"] = weight_decay * group["wd_mult"]
