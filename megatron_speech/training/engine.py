"""Builds model, data parallel wrapper and optimizer, in the order of their dependencies.

Weights are loaded first. Then the wrapper copies them into its buffers, and the optimizer into its float32 master
weights. A resumed run overwrites all three from its checkpoint afterwards.
"""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from megatron.core.distributed import DistributedDataParallel, DistributedDataParallelConfig
from megatron.core.utils import get_model_config

from megatron_speech.checkpoint.distributed.save_load import load_model
from megatron_speech.config.run.parallel import ParallelConfig
from megatron_speech.config.run.training import PretrainConfig
from megatron_speech.model.builder import build_model
from megatron_speech.parallel import groups
from megatron_speech.platform.device import device
from megatron_speech.training.optimizer import build_optimizer
from megatron_speech.training.step import TrainingEngine
from megatron_speech.vocabulary import Vocabulary

logger = logging.getLogger(__name__)


def build_engine(config: PretrainConfig, *, vocabulary: Vocabulary, load_base: bool) -> TrainingEngine:
    """The training engine of this rank. With `load_base`, weights come from `model.base` unless it is 'scratch'."""
    # Model, with its weights.
    chunks = build_model(
        config.model,
        vocabulary=vocabulary,
        parallel=config.parallel,
        precision=config.precision,
        seed=config.train.seed,
    )
    if load_base and config.model.base != "scratch":
        load_model(Path(config.model.base), chunks, model=config.model, vocabulary=vocabulary)
        logger.info("weights of %s loaded", config.model.base)
    # Data parallel wrapper and optimizer, which copy the weights.
    wrapped = [
        DistributedDataParallel(
            get_model_config(chunk), _data_parallel(config.parallel), chunk, disable_bucketing=index > 0
        )
        for index, chunk in enumerate(chunks)
    ]
    optimizer = build_optimizer(wrapped, config=config.optimizer, parallel=config.parallel, precision=config.precision)
    # What the pipeline schedule needs from both.
    megatron = get_model_config(wrapped[0])
    megatron.grad_scale_func = optimizer.scale_loss
    no_sync = [chunk.no_sync for chunk in wrapped]
    megatron.no_sync_func = no_sync if len(no_sync) > 1 else no_sync[0]
    return TrainingEngine(
        chunks=wrapped,
        optimizer=optimizer,
        vocabulary=vocabulary,
        device=device(),
        loss_weights=torch.tensor(config.data.loss_weights, dtype=torch.float64, device=device()),
    )


def _data_parallel(parallel: ParallelConfig) -> DistributedDataParallelConfig:
    """How ranks with the same parameters reduce gradients; a single rank has no communication to overlap."""
    has_peers = groups.data_parallel_group().size() > 1
    return DistributedDataParallelConfig(
        grad_reduce_in_fp32=True,
        overlap_grad_reduce=has_peers and parallel.overlap_grad_reduce,
        overlap_param_gather=has_peers and parallel.overlap_param_gather,
        use_distributed_optimizer=parallel.use_distributed_optimizer,
    )
