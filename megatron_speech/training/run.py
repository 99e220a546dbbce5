"""Runs a training from its configuration to ``done.json``, in the order of events.

The whole configuration is checked before ranks wait for each other. A run ends with status 0 when its token budget is
spent, when it reaches `train.stop_at_step`, or when a signal asks it to stop. In the last two cases it leaves a
checkpoint and no ``done.json``.
"""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from megatron_speech.checkpoint.distributed.save_load import load_checkpoint
from megatron_speech.checkpoint.folder import read_state, require_same_model
from megatron_speech.config.run.data import DataConfig
from megatron_speech.config.run.training import PretrainConfig
from megatron_speech.config.stages.train_text_to_token import TrainTextToTokenConfig
from megatron_speech.data.plan.change import require_same_plan
from megatron_speech.data.plan.mixture import compile_plan
from megatron_speech.data.plan.plan import Plan
from megatron_speech.data.plan.table import describe
from megatron_speech.data.reading import masked_rows
from megatron_speech.data.reading.masked_rows import MaskedRows
from megatron_speech.model.builder import to_transformer_config
from megatron_speech.parallel import groups
from megatron_speech.parallel.agree import on_every_rank, on_rank_zero
from megatron_speech.parallel.layout import ParallelLayout
from megatron_speech.parallel.replica import Replica
from megatron_speech.parallel.signals import StopRequest
from megatron_speech.parallel.world import world_from_environment
from megatron_speech.platform.device import where
from megatron_speech.progress import Progress, logs_beside_bars
from megatron_speech.storage.place import Places, local_folder
from megatron_speech.training import run_folder
from megatron_speech.training.engine import build_engine
from megatron_speech.training.feed import Feed
from megatron_speech.training.loop import Run, train, validate
from megatron_speech.training.metrics import HeldOut, MetricsLog
from megatron_speech.training.number_format import resolve_number_format
from megatron_speech.training.questions import Questions, ReadTasks
from megatron_speech.training.reading import ReadProgress
from megatron_speech.training.schedule import num_steps
from megatron_speech.training.settings import changed_settings
from megatron_speech.training.state import TrainState
from megatron_speech.training.step import TrainingEngine
from megatron_speech.training.summary import lines_at_the_end, summarise
from megatron_speech.training.validation import Validation, validation_plans
from megatron_speech.vocabulary import Vocabulary

logger = logging.getLogger(__name__)


def pretrain(
    config: PretrainConfig,
    *,
    world: tuple[int, int] | None = None,
    init_method: str | None = None,
    read_tasks: ReadTasks | None = None,
) -> None:
    """Start or resume the training in `config.folder`. Every rank of the world calls this.

    `world` (rank, size) and `init_method` (``file:///tmp/x/store``) are for ranks that torchrun did not start.
    `read_tasks` reads what `config.evaluation` asks; it is needed where that is set.
    """
    rank, world_size = world or world_from_environment()
    with StopRequest(speaks=rank == 0) as stop_request:
        _pretrain(config, rank, world_size, init_method, stop_request, read_tasks)


def train_text_to_token(config: TrainTextToTokenConfig) -> None:
    """Train a text-to-token model: `pretrain` with this task's data and defaults."""
    pretrain(config.run)


def _pretrain(
    config: PretrainConfig,
    rank: int,
    world_size: int,
    init_method: str | None,
    stop_request: StopRequest,
    read_tasks: ReadTasks | None,
) -> None:
    begun = time.monotonic()
    # Check everything that needs neither other ranks nor tensors.
    device_line = where(world_size)
    config, reason = resolve_number_format(config)
    outline = outline_of(config, world_size)
    run_folder.start_logging(config.folder, rank=rank)
    logger.info(device_line)
    logger.info(reason)
    if is_done(config, outline):
        return

    # Find the weights to start from, and check that they fit.
    checkpoint = checkpoint_to_resume(config, outline)
    weights_to_start_from(config, outline, checkpoint)
    logger.info("%s: %d samples, %s", config.folder, outline.plan.num_samples, outline.layout.describe())
    for name, plan in outline.validation_plans.items():
        logger.info("held-out source %s: %d rows are scored", name, plan.num_samples)

    # Meet the other ranks, build the model and train.
    groups.initialize(outline.layout, seed=config.train.seed, rank=rank, init_method=init_method)
    with ExitStack() as stack:
        stack.callback(groups.shutdown)
        stack.enter_context(logs_beside_bars("megatron_speech"))
        places = Places(config.data.reader)
        questions = Questions.read(config, outline.vocabulary, read_tasks)
        with Progress("build the model and load its weights", late=True):
            engine = build_engine(config, vocabulary=outline.vocabulary, load_base=checkpoint is None)
            state = _state_to_start_from(config, engine, checkpoint)
        # All checks have passed: only now is more than logs written into the run folder.
        on_rank_zero(lambda: _prepare_folder(config, outline.plan, places, consumed=state.consumed_samples))
        run = _assemble(config, outline, engine, places, state, questions)
        stack.enter_context(closing(run.log))
        state, held_out = train(run, state, stop_request)
        if state.consumed_samples >= outline.plan.num_samples:
            _finish(run, state, held_out or validate(run, state), seconds=time.monotonic() - begun)


@dataclass(frozen=True, kw_only=True)
class Outline:
    """What is known of a run before any process group or tensor exists."""

    layout: ParallelLayout
    vocabulary: Vocabulary
    plan: Plan
    validation_plans: dict[str, Plan]


def outline_of(config: PretrainConfig, world_size: int) -> Outline:
    """Check that layout, model, batch and data fit; ValueError or FileNotFoundError if not."""
    layout = ParallelLayout.of(config.parallel, world_size=world_size)
    vocabulary = shared_vocabulary(config.data)
    layout.check_model(config.model, vocabulary=vocabulary)
    for size in config.train.batch_sizes:
        layout.num_microbatches(global_batch_size=size, micro_batch_size=config.train.micro_batch_size)
    to_transformer_config(config.model, parallel=config.parallel, precision=config.precision)
    return Outline(
        layout=layout,
        vocabulary=vocabulary,
        plan=compile_plan(config.data, vocabulary=vocabulary, num_samples=config.num_samples),
        validation_plans=validation_plans(config, vocabulary=vocabulary),
    )


def checkpoint_to_resume(config: PretrainConfig, outline: Outline) -> Path | None:
    """The checkpoint to resume, or None to start from step 0; ValueError if it followed another plan."""
    checkpoint = run_folder.checkpoint_to_resume(config.folder, config.checkpoint)
    if checkpoint is not None:
        stored = read_state(checkpoint)
        if stored.plan is None or stored.consumed_samples is None:
            raise ValueError(f"{checkpoint} holds weights alone and cannot be resumed; name it as model.base")
        _require_same_plan(config, stored.plan, outline.plan, consumed=stored.consumed_samples)
    return checkpoint


def weights_to_start_from(config: PretrainConfig, outline: Outline, checkpoint: Path | None) -> Path | None:
    """The checkpoint or base to start from, None for scratch; ValueError unless it fits this model."""
    source = checkpoint
    if source is None and config.model.base != "scratch":
        source = Path(config.model.base)
    if source is not None:
        require_same_model(source, model=config.model, vocabulary=outline.vocabulary)
    return source


def shared_vocabulary(data: DataConfig) -> Vocabulary:
    """The vocabulary of all sources, held-out ones too; ValueError naming the key of a source with another one."""
    folders = {f"data.sources.{name}.folder": source.folder for name, source in data.sources.items()}
    folders |= {f"data.validation.{name}.folder": source.folder for name, source in data.validation.items()}
    first, vocabulary = "", None
    for key, folder in folders.items():
        here = local_folder(folder, data.reader)
        if not (here / "vocabulary.json").is_file():
            raise FileNotFoundError(f"{key}={folder} holds no packed shards; run megatron-speech pack_shards first")
        found = Vocabulary.load(here)
        if vocabulary is None:
            first, vocabulary = key, found
        if found != vocabulary:
            theirs, ours = found.to_json(), vocabulary.to_json()
            fact = next(fact for fact in ours if theirs.get(fact) != ours[fact])
            values = [str(each.get(fact))[:16] for each in (theirs, ours)]
            raise ValueError(
                f"{key}={folder}: its vocabulary's {fact}={values[0]} is not {values[1]} as in {first}; rebuild "
                "one of them with the other's vocabulary"
            )
    assert vocabulary is not None, "PretrainConfig requires a source"
    return vocabulary


def _prepare_folder(config: PretrainConfig, plan: Plan, places: Places, *, consumed: int) -> None:
    """Prepare the run folder on rank 0, before any rank reads; rank 0 also counts the damage found so far."""
    logger.info("plan %s:\n%s", plan.fingerprint[:12], describe(plan))
    run_folder.prepare(config, plan=plan, consumed=consumed)
    samples, blocks = masked_rows.begin(config.folder, consumed_samples=consumed)
    places.stats.add(damaged_samples=samples.total(), damaged_blocks=blocks)
    places.stats.add_masked(samples)


def _state_to_start_from(config: PretrainConfig, engine: TrainingEngine, checkpoint: Path | None) -> TrainState:
    """Load `checkpoint` into the engine and return its state; without a checkpoint, the state of step 0."""
    if checkpoint is None:
        logger.info("started from step 0, weights: %s", config.model.base)
        return TrainState()
    values = load_checkpoint(
        checkpoint,
        chunks=engine.chunks,
        optimizer=engine.optimizer,
        model=config.model,
        vocabulary=engine.vocabulary,
        parallel=config.parallel,
    )
    logger.info("resumed from %s", checkpoint)
    for change in changed_settings(values, config):
        logger.warning("%s %s", checkpoint, change)
    return TrainState.saved_in(values)


def _assemble(
    config: PretrainConfig,
    outline: Outline,
    engine: TrainingEngine,
    places: Places,
    state: TrainState,
    questions: Questions | None,
) -> Run:
    """Open the sources on the ranks that read, and make everything that the loop needs. Collective."""
    # The feed of training rows.
    replica = Replica.of(outline.layout)
    masking = None
    if config.data.reader.on_damage == "mask":
        masking = MaskedRows(config.folder, rank=groups.rank(), stats=places.stats)
    feed = Feed(outline.plan, places, replica=replica, masked_rows=masking)
    # The metrics log; an error in opening it is raised on all ranks.
    left = num_steps(config.train, first=state.consumed_samples, total=outline.plan.num_samples)
    opened = partial(
        MetricsLog,
        config.folder,
        data=config.data,
        first_step=state.step,
        total_steps=state.step + left,
        every_steps=config.logging.every_steps,
        first_tokens=state.trained_tokens if questions else None,
        enabled=groups.is_rank_zero(),
    )
    return Run(
        config=config,
        plan=outline.plan,
        total_steps=state.step + left,
        engine=engine,
        feed=feed,
        reading=ReadProgress(config, feed, places.stats, first_sample=state.consumed_samples),
        log=on_every_rank(opened),
        validation=Validation.of(
            {name: Feed(plan, places, replica=replica) for name, plan in outline.validation_plans.items()},
            config=config,
            layout=outline.layout,
            questions=questions,
        ),
    )


def _finish(run: Run, state: TrainState, held_out: HeldOut, *, seconds: float) -> None:
    """Write the summary that marks the run as done, after the budget is spent and the last step saved, and log it."""
    if not groups.is_rank_zero():
        return
    summary = summarise(run, state, held_out)
    run_folder.write_done(run.config.folder, summary)
    for line in lines_at_the_end(run, summary, seconds=seconds):
        logger.info("%s", line)


def is_done(config: PretrainConfig, outline: Outline) -> bool:
    """Whether `config.folder` holds the finished run; ValueError if that run had another plan or other settings.

    With `checkpoint.resume=never` the answer is False, and `checkpoint_to_resume` then refuses the folder.
    """
    done = run_folder.read_done(config.folder)
    if done is None or config.checkpoint.resume == "never" or done.consumed_samples < outline.plan.num_samples:
        return False
    _require_same_plan(config, done.plan, outline.plan, consumed=done.consumed_samples)
    run_folder.require_same_settings(config)
    logger.info("%s is already done: %d steps", config.folder, done.steps)
    return True


def _require_same_plan(config: PretrainConfig, followed: str, plan: Plan, *, consumed: int) -> None:
    """Raise ValueError if the fingerprint `followed` is of another plan, unless this plan extends it and may do so.

    `consumed` is the number of samples read under that plan.
    """
    if followed != plan.fingerprint:
        old = run_folder.read_plan(config.folder, followed)
        require_same_plan(old, plan, consumed=consumed, extend=config.data.extend_plan)
