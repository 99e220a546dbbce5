"""A training run's settings as a job of the planner."""

from __future__ import annotations

from megatron_speech.config.run.parallel import ParallelConfig
from megatron_speech.config.run.training import PretrainConfig
from megatron_speech.parallel.layout import ParallelLayout
from megatron_speech.parallel.pipeline_split import layers_of
from megatron_speech.planning.gpus import Gpu
from megatron_speech.planning.job import Job, Recompute
from megatron_speech.planning.shape import Shape
from megatron_speech.planning.stacks import Stack


def job_of(config: PretrainConfig, *, vocabulary_rows: int, gpus: int, gpu: Gpu, stack: Stack) -> Job:
    """The job of `config` on so many GPUs. ValueError where layout or batch do not divide."""
    parallel, train = config.parallel, config.train
    layout = ParallelLayout.of(parallel, world_size=gpus)
    layout.num_microbatches(global_batch_size=train.global_batch_size, micro_batch_size=train.micro_batch_size)
    recompute, layers = _recompute(config)
    split = parallel.pipeline_model_parallel_layout
    return Job(
        shape=Shape.of(config.model, vocabulary_rows=vocabulary_rows),
        sequence=config.data.seq_length,
        gpu=gpu,
        stack=stack,
        gpus=gpus,
        tensor=layout.tensor_size,
        pipeline=layout.pipeline_size,
        virtual=layout.chunks_per_stage,
        context=layout.context_size,
        micro_batch=train.micro_batch_size,
        global_batch=train.global_batch_size,
        precision=precision_of(config, gpu),
        recompute=recompute,
        recompute_layers=layers,
        sequence_parallel=parallel.sequence_parallel,
        sharding="optimizer" if parallel.use_distributed_optimizer else "none",
        chunk_layers=None if split is None else tuple(layers_of(split)),
        value_bytes=4 if config.precision.dtype == "float32" else 2,
        loss_bytes=10 if config.model.megatron.get("cross_entropy_loss_fusion") else 6,
        dropout=bool(config.model.megatron.get("hidden_dropout")),
    )


def precision_of(config: PretrainConfig, gpu: Gpu) -> str:
    """Format of the products: block-wise FP8 is MXFP8 on chips that have it."""
    if config.precision.fp8 == "none":
        return "bf16"
    return "mxfp8" if config.precision.fp8_recipe == "blockwise" and "mxfp8" in gpu.precisions else "fp8"


def _recompute(config: PretrainConfig) -> tuple[Recompute, int | None]:
    """What is recomputed, and in how many layers if not in all."""
    parallel = config.parallel
    if parallel.recompute_granularity == "full":
        if parallel.recompute_method == "block":
            return "full", (parallel.recompute_num_layers or 0) * _chunks(parallel)
        return "full", None
    if parallel.recompute_granularity == "selective":
        return ("mlp" if "mlp" in (parallel.recompute_modules or ()) else "attention"), None
    return "none", None


def _chunks(parallel: ParallelConfig) -> int:
    return parallel.pipeline_model_parallel_size * (parallel.virtual_pipeline_model_parallel_size or 1)
