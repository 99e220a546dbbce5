"""Trains one stage of a causal speech decoder: the prior, the flow on a fixed prior, or a student of the flow.

`speech_training.run` says how it is stopped and resumed. The decoder is that of the last step, not the best in
validation.
"""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch.distributed as dist

from megatron_speech.artifacts.facts.speech_tokenizer import CausalDecoderFacts
from megatron_speech.artifacts.manifest import Draft
from megatron_speech.audio.quarantine import QUARANTINE, write_quarantine
from megatron_speech.config.stages.train_causal_decoder import NO_PART_OF_RESULT, TrainCausalDecoderConfig
from megatron_speech.parallel.agree import Stopped, on_every_rank, on_rank_zero
from megatron_speech.parallel.signals import StopRequest
from megatron_speech.platform.device import device
from megatron_speech.platform.number_format import Dtype, resolve_dtype
from megatron_speech.speech_decoder.training.clips import Clip, ClipReader
from megatron_speech.speech_decoder.training.sources import Source, open_sources, open_validation, require_identity
from megatron_speech.speech_decoder.training.start import first_network, measure
from megatron_speech.speech_decoder.training.step import StepResult, Trainer
from megatron_speech.speech_decoder.training.validation import validate
from megatron_speech.speech_training.checkpoint import (
    load_optimizer,
    load_weights,
    newest_checkpoint,
    read_state,
    save_checkpoint,
)
from megatron_speech.speech_training.feed import Feed
from megatron_speech.speech_training.log import StepLog
from megatron_speech.speech_training.order import Cursor, Order
from megatron_speech.speech_training.run import WORK, Job, run_training

logger = logging.getLogger(__name__)

TOOL = "train_causal_decoder"
CURVE_POINTS = 100
"""Largest number of points of the loss curve."""


@dataclass(kw_only=True)
class RunState:
    """Progress of a run: ``state.json`` of its checkpoints."""

    step: int = 0
    """Number of finished steps."""
    cursor: Cursor = field(default_factory=Cursor)
    """Place of the next batch in the order."""
    drawn: dict[str, int] = field(default_factory=dict)
    """Number of utterances trained on, by source, with repetitions."""
    dtype: Dtype | None = None
    """Number format that the run began in."""
    losses: list[dict[str, float]] = field(default_factory=list)
    """Running means of the loss over consecutive steps."""
    validation: list[dict[str, Any]] = field(default_factory=list)
    """Results of validation, by step."""

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> RunState:
        """Inverse of `asdict`."""
        return cls(**{**values, "cursor": Cursor(**values["cursor"])})

    def add_loss(self, loss: float, *, steps: int) -> None:
        """Add the loss of the step that has just finished, of `steps` in all."""
        size = -(-steps // CURVE_POINTS)
        count = (self.step - 1) % size + 1
        if count == 1:
            self.losses.append({"step": self.step, "loss": 0.0})
        mean = self.losses[-1]["loss"]
        self.losses[-1] = {"step": self.step, "loss": mean + (loss - mean) / count}


@dataclass(kw_only=True)
class Run:
    """The parts of a training."""

    config: TrainCausalDecoderConfig
    checkpoints: Path
    sources: list[Source]
    feed: Feed[Clip]
    heldout: ClipReader
    trainer: Trainer
    log: StepLog[StepResult]
    state: RunState


def train_causal_decoder(
    config: TrainCausalDecoderConfig, *, world: tuple[int, int] | None = None, init_method: str | None = None
) -> None:
    """Make the decoder folder `config.output`, unless it is made. Every rank calls this; see `run_training`."""
    job = Job(
        kind="speech_decoder",
        output=config.output,
        config=config,
        no_part_of_result=NO_PART_OF_RESULT,
        inputs=lambda: _inputs(config),
        make=lambda draft, stop_request, steps: _make(config, draft, stop_request, steps),
    )
    run_training(job, world=world, init_method=init_method)


def _inputs(config: TrainCausalDecoderConfig) -> list[Path]:
    """Artifacts that the decoder is made from."""
    sources = [*config.sources.values(), *config.validation.values()]
    spoken = [folder for source in sources for folder in (source.audio, source.codes)]
    return [*spoken, config.tokenizer, *([config.start_from] if config.start_from else [])]


def _make(config: TrainCausalDecoderConfig, draft: Draft, stop_request: StopRequest, steps: dist.ProcessGroup) -> str:
    """Train and complete the decoder. Collective. Returns the last validation, for the log."""
    run = _prepare(config, draft.folder, stop_request, steps)
    with closing(run.log):
        _train(run, stop_request)
    on_rank_zero(lambda: _complete(run, draft))
    return _in_words(run.state.validation[-1] if run.state.validation else {})


def _prepare(
    config: TrainCausalDecoderConfig, folder: Path, stop_request: StopRequest, steps: dist.ProcessGroup
) -> Run:
    """Set up a training from the start or the newest checkpoint. Collective."""
    work, stop = folder / WORK, stop_request.received
    # Data.
    identity = on_every_rank(lambda: require_identity(config))
    sources, heldout = open_sources(config, work, stop=stop), open_validation(config, work, stop=stop)
    order = Order(
        [source.index.samples for source in sources],
        [source.name for source in sources],
        [source.scanned.weight for source in sources],
        batch_seconds=config.batch_seconds,
        seed=config.seed,
    )
    # Network and progress.
    net, unmeasured = on_every_rank(lambda: first_network(config, identity, sources))
    net = net.to(device())
    reader = ClipReader(config, sources, net)
    found = newest_checkpoint(work / "checkpoints")
    state = RunState() if found is None else on_every_rank(lambda: RunState.from_json(read_state(found)))
    if found is None:
        measure(net, reader, order, unmeasured)
    else:
        on_every_rank(lambda: load_weights(found, net))
    state.dtype, line = resolve_dtype(config.dtype, key="dtype", gpu=device().type == "cuda", begun_in=state.dtype)
    logger.info(line)
    trainer = Trainer(net, config, bfloat16=state.dtype == "bfloat16", step=state.step, group=steps)
    if found is not None:
        on_every_rank(lambda: load_optimizer(found, trainer.optimizer))
        logger.info("resumed from %s", found)
    feed = Feed(
        order=order,
        steps=config.steps,
        micro_batch_seconds=config.micro_batch_seconds,
        threads=config.read_threads,
        clip=reader.clip,
    )
    board = folder / "tensorboard"
    return Run(
        config=config,
        checkpoints=work / "checkpoints",
        sources=sources,
        feed=feed,
        heldout=ClipReader(config, heldout, net),
        trainer=trainer,
        log=StepLog(TOOL, board, first_step=state.step, steps=config.steps, every_steps=config.log_every_steps),
        state=state,
    )


def _train(run: Run, stop_request: StopRequest) -> None:
    """Run the remaining steps; raises Stopped after a stop signal. Collective."""
    config, state, trainer = run.config, run.state, run.trainer
    with closing(run.feed.batches(state.step, state.cursor)) as batches:
        for batch, micros in batches:
            result = trainer.advance(micros)
            last = trainer.step == config.steps
            state.step, state.cursor = trainer.step, batch.after
            for source in batch.sources.tolist():
                name = run.sources[source].name
                state.drawn[name] = state.drawn.get(name, 0) + 1
            state.add_loss(result.loss, steps=config.steps)
            _log(run, result, last=last)
            # Validate, save and stop when due.
            if last or (config.validate_every_steps and state.step % config.validate_every_steps == 0):
                _validate(run)
            stopping = stop_request.agreed()
            if stopping or last or state.step % config.checkpoint_every_steps == 0:
                _save(run)
            if stopping and not last:
                raise Stopped(f"after step {state.step}")


def _log(run: Run, result: StepResult, *, last: bool) -> None:
    log, step = run.log, run.state.step
    if not log.is_due(result, step=step, last=last):
        return
    number = len(log.results)
    scalars = {
        "loss": sum(each.loss for each in log.results) / number,
        "gradient_norm": sum(each.grad_norm for each in log.results) / number,
        "speech_per_second": sum(each.seconds for each in log.results) / log.seconds,
        "learning_rate": max(group["lr"] for group in run.trainer.optimizer.param_groups),
    }
    log.write(scalars, step)
    logger.info(
        "step %d of %d: loss %.3f, %.0f s of speech per second, %s utterances so far, %s",
        *(step, log.steps, scalars["loss"], scalars["speech_per_second"]),
        *(f"{sum(run.state.drawn.values()):,}", log.progress.left_in_words()),
    )
    log.restart_clock()


def _validate(run: Run) -> None:
    if not run.heldout.sources:
        return
    results = validate(run.trainer.net, run.heldout, most=run.config.validation_utterances)
    run.trainer.train()
    run.state.validation.append({"step": run.state.step, **results})
    for name, values in results.items():
        run.log.write({f"{key}/{name}": value for key, value in values.items()}, run.state.step)
    logger.info("step %d of %d%s", run.state.step, run.config.steps, _in_words(results))
    run.log.restart_clock()


def _in_words(results: dict[str, Any]) -> str:
    """Results of validation as the end of a log line; empty without results."""
    sets = {name: values for name, values in results.items() if name != "step"}
    return "".join(
        f"; {name}: L1 {values['l1']:.3f} nats, movement {values['delta_variance']:.2f} and contrast "
        f"{values['band_contrast']:.2f} of the original's"
        for name, values in sets.items()
    )


def _save(run: Run) -> None:
    save_checkpoint(
        run.checkpoints,
        run.state.step,
        model=run.trainer.net,
        optimizer=run.trainer.optimizer,
        state=asdict(run.state),
        learning_rate=run.config.learning_rate,
    )
    run.log.restart_clock()


def _complete(run: Run, draft: Draft) -> None:
    """Write the decoder of the last step, its quarantine and its facts."""
    net, state = run.trainer.net, run.state
    net.save(draft.folder)
    bad = {source.name: source.scanned.quarantined for source in run.sources}
    reasons = {name: Counter(record.reason for record in records) for name, records in bad.items()}
    write_quarantine(draft.folder / QUARANTINE, [record for each in bad.values() for record in each])
    assert state.dtype is not None
    draft.facts = CausalDecoderFacts(
        stage=run.config.stage,
        steps=state.step,
        voices=net.shape.voices,
        parameters=sum(parameter.numel() for parameter in net.parameters()),
        dtype=state.dtype,
        epochs={source.name: round(state.drawn.get(source.name, 0) / len(source.index), 2) for source in run.sources},
        quarantined={name: dict(sorted(counts.items())) for name, counts in reasons.items()},
        losses=tuple({"step": each["step"], "loss": round(each["loss"], 4)} for each in state.losses),
        validation=tuple(state.validation),
    )
