"""Tells what a training will do, without training: the same checks, then layout, parameters, data and memory.

Nothing is written. No process group and no model is made; of the weights to start from, every file is read and checked.
"""

from __future__ import annotations

from collections.abc import Iterator

from megatron_speech.checkpoint.folder import verify
from megatron_speech.config.run.training import PretrainConfig
from megatron_speech.data.plan.table import describe
from megatron_speech.parallel.world import world_from_environment
from megatron_speech.planning.gpus import gpu
from megatron_speech.planning.memory import stage_memory
from megatron_speech.planning.parameters import model_parameters
from megatron_speech.planning.run_job import job_of
from megatron_speech.planning.stacks import stack
from megatron_speech.platform.device import where
from megatron_speech.training import run_folder
from megatron_speech.training.number_format import resolve_number_format
from megatron_speech.training.questions import ReadTasks, in_words, tasks_of
from megatron_speech.training.run import Outline, checkpoint_to_resume, is_done, outline_of, weights_to_start_from
from megatron_speech.training.schedule import num_steps


def dry_run(
    config: PretrainConfig, *, world_size: int | None = None, read_tasks: ReadTasks | None = None
) -> Iterator[str]:
    """Lines about the training; ValueError, FileNotFoundError or FileExistsError for what would stop its start.

    `read_tasks` is as for `training.run.pretrain`.
    """
    world_size = world_size or world_from_environment()[1]
    device_line = where(world_size)
    config, reason = resolve_number_format(config)
    outline = outline_of(config, world_size)
    run_folder.require_no_artifact(config.folder)
    yield from (device_line, reason)
    if is_done(config, outline):
        yield f"{config.folder} is already done"
        return
    checkpoint = checkpoint_to_resume(config, outline)
    source = weights_to_start_from(config, outline, checkpoint)
    if source is not None:
        verify(source)
    yield f"weights: {source or 'scratch'}"
    yield from _layout(config, outline)
    yield from describe(outline.plan).splitlines()
    for name, plan in outline.validation_plans.items():
        yield f"held-out source {name}: {plan.num_samples} rows are scored"
    if config.evaluation is not None:
        yield from in_words(tasks_of(config, outline.vocabulary, read_tasks).requests)
    yield from _steps(config, outline)
    yield from _memory(config, outline)
    yield f"dry run: no mistake found; {config.folder} is untouched"


def _layout(config: PretrainConfig, outline: Outline) -> Iterator[str]:
    rows, vocabulary = outline.vocabulary.padded_size, outline.vocabulary
    whole = model_parameters(config.model, vocabulary_rows=rows)
    speech = len(vocabulary.speech_ids) * config.model.hidden_size
    yield f"layout: {outline.layout.describe()}"
    yield f"parameters: {whole.total:,}; embedding {whole.embedding:,} ({rows:,} rows), of it speech rows {speech:,}"


def _steps(config: PretrainConfig, outline: Outline) -> Iterator[str]:
    train, total = config.train, outline.plan.num_samples
    count = outline.layout.num_microbatches(
        global_batch_size=train.global_batch_size, micro_batch_size=train.micro_batch_size
    )
    yield (
        f"steps: {num_steps(train, first=0, total=total):,} of {train.global_batch_size} rows, "
        f"{total * config.data.seq_length:,} tokens; {count} micro-batches of {train.micro_batch_size} rows per rank"
    )


def _memory(config: PretrainConfig, outline: Outline) -> Iterator[str]:
    layout, rows = outline.layout, outline.vocabulary.padded_size
    job = job_of(config, vocabulary_rows=rows, gpus=layout.world_size, gpu=gpu("H100"), stack=stack("local"))
    yield f"memory per rank in GiB, estimated; weights in {config.precision.dtype}"
    yield f"{'stage':<7}{'parameters':>15}" + "".join(f"{name:>13}" for name in [*_PARTS, "total"])
    for stage in range(layout.pipeline_size):
        memory = stage_memory(job, stage)
        parts = [getattr(memory, name) for name in _PARTS]
        columns = "".join(f"{number / 2**30:>13.3f}" for number in [*parts, sum(parts)])
        yield f"{stage:<7}{job.parameters(stage).total:>15,}{columns}"
    yield (
        "not counted: attention scores, communication buffers, workspace, fragmentation; without fused kernels (a "
        "CPU), layers keep up to 1.8 times these activations"
    )


_PARTS = ("weights", "gradients", "optimizer", "activations", "logits")
