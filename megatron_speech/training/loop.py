"""The training loop: read, step, log, validate, save, stop. Its parts are made and checked in `training.run`."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from megatron_speech.artifacts.facts.checkpoint import CheckpointState
from megatron_speech.checkpoint.distributed.save_load import save_checkpoint
from megatron_speech.checkpoint.folder import keep_newest, list_checkpoints, step_folder
from megatron_speech.config.run.training import PretrainConfig
from megatron_speech.data.plan.plan import Plan
from megatron_speech.data.reading.batch import HostBatch
from megatron_speech.model.loss import trained_targets
from megatron_speech.parallel import groups
from megatron_speech.parallel.agree import on_rank_zero
from megatron_speech.parallel.signals import StopRequest
from megatron_speech.training.batches import sample_numbers
from megatron_speech.training.feed import Feed
from megatron_speech.training.metrics import HeldOut, MetricsLog
from megatron_speech.training.reading import ReadProgress
from megatron_speech.training.run_folder import note_saved
from megatron_speech.training.schedule import batch_size, learning_rate, steps
from megatron_speech.training.settings import deciding_settings
from megatron_speech.training.state import TrainState
from megatron_speech.training.step import TrainingEngine, train_step
from megatron_speech.training.validation import Validation

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Run:
    """Everything that the loop uses and never replaces."""

    config: PretrainConfig
    plan: Plan
    total_steps: int
    engine: TrainingEngine
    feed: Feed
    reading: ReadProgress
    log: MetricsLog
    validation: Validation


def train(run: Run, state: TrainState, stop_request: StopRequest) -> tuple[TrainState, HeldOut | None]:
    """Train until the budget is spent, the stop step is reached or a stop is asked for; the last step is saved.

    Returns the state and the newest validation, or None. If the budget was spent, it is that of the last step.
    """
    config, last_step, held_out = run.config, run.total_steps, None
    if config.train.stop_at_step is not None:
        last_step = min(last_step, config.train.stop_at_step)
    for hosts in _batches(run, state, last_step):
        state = advance(run, state, hosts, last=state.step + 1 == last_step)

        # Every so many steps, and at the end of the budget: validate.
        every = config.logging.validate_every_steps
        if state.step == run.total_steps or (every and state.step % every == 0):
            held_out = validate(run, state)

        # Every so many steps, and before the process leaves: save. NaN in weights raises an error instead.
        stopping = stop_request.agreed()
        if stopping or state.step == last_step or state.step % config.checkpoint.every_steps == 0:
            _save(run, state)
        if stopping:
            logger.info("stopped by a signal after step %d; resume to go on", state.step)
            break
    return state, held_out


def advance(run: Run, state: TrainState, hosts: Sequence[HostBatch], *, last: bool) -> TrainState:
    """Train one step on this rank's micro-batches; FloatingPointError unless loss and gradients are finite.

    The step is logged every `logging.every_steps`, and if it is the `last`. Collective.
    """
    config = run.config
    samples = _samples_of_next_step(run, state)
    lr = learning_rate(state.consumed_samples + samples, config=config.optimizer, total=run.plan.num_samples)
    sums, grad_norm = train_step(
        run.engine,
        hosts,
        lr=lr,
        weight_decay=config.optimizer.weight_decay,
        text_frozen=state.step < config.train.freeze_text_steps,
    )
    text, speech = trained_targets(sums, config.data.loss_weights)
    state = state.after(samples=samples, text_tokens=text, speech_tokens=speech)
    if not (sums.isfinite().all() and math.isfinite(grad_norm)):
        raise _diverged(run, state, "loss or gradient norm is not finite")
    run.log.count(samples * config.data.seq_length)
    if last or state.step % config.logging.every_steps == 0:
        reading = run.reading.since_last(state)
        run.log.log_step(state, sums, lr=lr, grad_norm=grad_norm, reading=reading)
    return state


def validate(run: Run, state: TrainState) -> HeldOut:
    """Compute and log held-out losses and accuracies; FloatingPointError if one is not finite. Collective."""
    try:
        found = run.validation.run(run.engine)
    except FloatingPointError as error:
        raise _diverged(run, state, str(error)) from error
    for name, by_modality in found.losses.items():
        if not all(map(math.isfinite, by_modality.values())):
            raise _diverged(run, state, f"held-out loss of {name} is not finite")
    run.log.log_validation(state, found)
    return found


def _diverged(run: Run, state: TrainState, what: str) -> FloatingPointError:
    """The error of a step that is not finite, with the remedy: which checkpoint to resume, and what to change."""
    checkpoints = run.config.folder / "checkpoints"
    ours, saved = step_folder(checkpoints, state.step), list_checkpoints(checkpoints)
    fate = f"{ours} holds its weights: remove it" if ours in saved else "nothing of it was saved"
    before = [each for each in saved if each != ours]
    again = (
        f"go on from the newest checkpoint{' before it' if ours in saved else ''}, {before[-1]},"
        if before
        else ("no checkpoint was saved before: begin again")
    )
    return FloatingPointError(
        f"step {state.step}: {what}, and {fate}; {again} with a lower optimizer.lr or optimizer.clip_grad, or without "
        "the rows that it read"
    )


def _batches(run: Run, state: TrainState, last_step: int) -> Iterator[list[HostBatch]]:
    """This rank's micro-batches of every step from `state` to `last_step`, read ahead."""
    train, ranks = run.config.train, groups.data_parallel_size()
    numbers_of_steps = (
        sample_numbers(
            first,
            num_microbatches=size // (train.micro_batch_size * ranks),
            micro_batch_size=train.micro_batch_size,
            data_parallel_rank=groups.data_parallel_rank(),
            data_parallel_size=ranks,
        )
        for first, size in steps(train, first=state.consumed_samples, total=run.plan.num_samples)
    )
    return run.feed.steps(islice(numbers_of_steps, last_step - state.step))


def _samples_of_next_step(run: Run, state: TrainState) -> int:
    """Number of plan rows in the next step; fewer at the end of the budget."""
    left = run.plan.num_samples - state.consumed_samples
    return min(batch_size(run.config.train, state.consumed_samples), left)


def _save(run: Run, state: TrainState) -> None:
    run.log.write()  # so that metrics.jsonl has all lines up to the checkpoint
    checkpoints = run.config.folder / "checkpoints"
    settings = deciding_settings(run.config)
    try:
        save_checkpoint(
            step_folder(checkpoints, state.step),
            chunks=run.engine.chunks,
            optimizer=run.engine.optimizer,
            model=run.config.model,
            vocabulary=run.engine.vocabulary,
            parallel=run.config.parallel,
            state=CheckpointState(**vars(state), plan=run.plan.fingerprint, settings=settings),
        )
    except FloatingPointError as error:
        raise _diverged(run, state, f"after its update {error}") from error
    on_rank_zero(lambda: note_saved(run.config.folder, state.step))
    on_rank_zero(lambda: keep_newest(checkpoints, run.config.checkpoint.keep_last))
    logger.info("saved step %d", state.step)
    run.log.restart_clock()
