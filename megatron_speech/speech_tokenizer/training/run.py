"""Trains a speech tokenizer from its configuration to the finished folder; can be stopped and resumed at any step.

Files are in ``<output>.partial`` until the tokenizer is finished: indices, cached states, checkpoints, TensorBoard. The
same command resumes from the newest checkpoint, on any number of ranks. Changed settings are refused, unless the result
does not depend on them. The tokenizer is that of the last step, not the best in validation.
"""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch.distributed as dist

from megatron_speech.artifacts.facts.speech_tokenizer import TrainedSpeechTokenizerFacts
from megatron_speech.artifacts.manifest import Draft
from megatron_speech.audio.quarantine import QUARANTINE, write_quarantine
from megatron_speech.config.stages.train_speech_tokenizer import (
    KNOWN_LATER,
    NO_PART_OF_RESULT,
    TrainSpeechTokenizerConfig,
)
from megatron_speech.parallel.agree import Stopped, on_every_rank, on_rank_zero
from megatron_speech.parallel.signals import StopRequest
from megatron_speech.speech_tokenizer.folder import require
from megatron_speech.speech_tokenizer.model import TextSide, save_model
from megatron_speech.speech_tokenizer.objective import TextTargets
from megatron_speech.speech_tokenizer.training import checkpoint
from megatron_speech.speech_tokenizer.training.checkpoint import RunState
from megatron_speech.speech_tokenizer.training.log import TrainingLog, shown
from megatron_speech.speech_tokenizer.training.reading import Feed
from megatron_speech.speech_tokenizer.training.schedule import Curve
from megatron_speech.speech_tokenizer.training.sources import TEXT_IDS, open_sources
from megatron_speech.speech_tokenizer.training.start import bottleneck_model, place
from megatron_speech.speech_tokenizer.training.states import KeptStates
from megatron_speech.speech_tokenizer.training.step import Trainer
from megatron_speech.speech_tokenizer.training.validation import Validation
from megatron_speech.speech_tokenizer.whisper_vq import WhisperVQTokenizer
from megatron_speech.speech_training.checkpoint import load_weights
from megatron_speech.speech_training.run import WORK, Job, run_training

logger = logging.getLogger(__name__)

KIND = "speech_tokenizer"


def train_speech_tokenizer(
    config: TrainSpeechTokenizerConfig, *, world: tuple[int, int] | None = None, init_method: str | None = None
) -> None:
    """Make the tokenizer folder `config.output`, unless it is made. Every rank calls this.

    A stop signal ends the call without an error. After a training step it saves a checkpoint. During preparation it
    keeps finished scans and cached states. `world` (rank, size) and `init_method` (``file:///tmp/x/store``) are for
    ranks that torchrun did not start.
    """
    run_training(training_job(config), world=world, init_method=init_method)


def training_job(config: TrainSpeechTokenizerConfig) -> Job:
    """The training of `config`."""
    return Job(
        kind=KIND,
        output=config.output,
        config=config,
        no_part_of_result=NO_PART_OF_RESULT,
        known_later=KNOWN_LATER,
        inputs=lambda: training_inputs(config),
        binding=("states", "checkpoints"),
        make=lambda draft, stop_request, steps: _make(config, draft, stop_request, steps),
    )


def training_inputs(config: TrainSpeechTokenizerConfig) -> list[Path]:
    """Files and artifacts that the tokenizer is made from; FileNotFoundError if the base model lacks one."""
    audio = [*(source.audio for source in config.sources.values()), *config.validation.values()]
    # Text tokenizer files determine the ids of transcripts. `TextSide` reports a missing one.
    text = [config.whisper / name for name in ("tokenizer.json", "generation_config.json")]
    weights = [require(config.whisper / name) for name in ("config.json", "model.safetensors")]
    return [*audio, *weights, *(path for path in text if path.is_file())]


def _make(config: TrainSpeechTokenizerConfig, draft: Draft, stop_request: StopRequest, steps: dist.ProcessGroup) -> str:
    """Train and complete the tokenizer. Collective. Returns word error rates by recogniser and validation set."""
    run = _prepare(config, draft.folder, stop_request, steps)
    with closing(run.log):
        _train(run, stop_request)
    on_rank_zero(lambda: _complete(run, draft))
    rates = {name: rate for name, rate in ({}, *run.state.error_rates)[-1].items() if name != "step"}
    return shown({"from codes": rates, "without bottleneck": run.state.error_rates_without_bottleneck})


@dataclass(kw_only=True)
class Run:
    """The parts of a training."""

    config: TrainSpeechTokenizerConfig
    checkpoints: Path
    text: TextSide
    feed: Feed
    trainer: Trainer
    validation: Validation
    log: TrainingLog
    state: RunState


def _prepare(
    config: TrainSpeechTokenizerConfig, folder: Path, stop_request: StopRequest, steps: dist.ProcessGroup
) -> Run:
    """Set up a training from the start or the newest checkpoint. Collective."""
    # Model and data.
    work, stop = folder / WORK, stop_request.received
    model, begins = on_every_rank(lambda: bottleneck_model(config))
    text = on_every_rank(lambda: TextSide(config.whisper, model.config.vocab_size, language=config.language))
    validation = Validation(config, text, model.config.max_samples)
    sources = open_sources(config, text, model.config, work, stop=stop)
    # Progress, and the cache of frozen layers unless they are trained.
    found = checkpoint.newest(work / "checkpoints")
    state = RunState() if found is None else on_every_rank(lambda: checkpoint.read_progress(found))
    past_freezing = config.unfreeze_at_step is not None and state.step >= config.unfreeze_at_step
    caches = config.caches and not past_freezing
    kept = KeptStates.compute(work / "states", model, sources, stop=stop) if caches else None
    feed = Feed(config, text, sources, kept)
    # Weights: of the checkpoint, or with a new codebook.
    if found is not None:
        on_every_rank(lambda: load_weights(found, model))
    elif begins:
        state.start = place(model, feed, config, stop=stop)
    else:
        logger.info("%s has a codebook, which is trained further", config.whisper)
    targets = TextTargets(
        text, {token for source in sources for token in source.tables[TEXT_IDS].tolist()}, model.config.vocab_size
    )
    trainer = Trainer(model, targets, config, step=state.step, group=steps)
    if found is not None:
        on_every_rank(lambda: checkpoint.load_trainer(found, trainer))
        logger.info("resumed from %s", found)
    if found is None and validation.sets and begins:
        state.error_rates_without_bottleneck = validation.by_whisper(config.whisper)
        logger.info("training starts%s", shown({"without bottleneck": state.error_rates_without_bottleneck}))
    return Run(
        config=config,
        checkpoints=work / "checkpoints",
        text=text,
        feed=feed,
        trainer=trainer,
        validation=validation,
        log=TrainingLog(
            "train_speech_tokenizer",
            folder / "tensorboard",
            first_step=state.step,
            steps=config.steps,
            every_steps=config.log_every_steps,
        ),
        state=state,
    )


def _train(run: Run, stop_request: StopRequest) -> None:
    """Run the remaining steps; raises Stopped after a stop signal. Collective."""
    config, state, trainer = run.config, run.state, run.trainer
    curve = Curve(config.steps, state.curve)
    with closing(run.feed.steps(state.step, state.cursor)) as steps:
        for batch, micros in steps:
            # A step, and the progress after it.
            result = trainer.advance(micros, batch_size=len(batch))
            last = trainer.step == config.steps
            state.step, state.cursor = trainer.step, batch.after
            state.restarted += result.restarted
            for source in batch.sources.tolist():
                name = run.feed.sources[source].name
                state.drawn[name] = state.drawn.get(name, 0) + 1
            curve.add(state.step, cross_entropy=result.cross_entropy, commitment=result.commitment)
            run.log.step(trainer, result, utterances=sum(state.drawn.values()), last=last)

            # Validate, save and stop when due.
            if last or (config.validate_every_steps and state.step % config.validate_every_steps == 0):
                _validate(run)
            stopping = stop_request.agreed()
            if stopping or last or state.step % config.checkpoint_every_steps == 0:
                checkpoint.save(run.checkpoints, trainer, state)
                run.log.restart_clock()
            if stopping and not last:
                raise Stopped(f"after step {state.step}")


def _validate(run: Run) -> None:
    if not run.validation.sets:
        return
    rates = run.validation.from_codes(run.trainer.model)
    run.trainer.train()
    run.state.error_rates.append({"step": run.state.step, **rates})
    run.log.validation(run.state.step, rates)
    run.log.restart_clock()


def _complete(run: Run, draft: Draft) -> None:
    """Write the tokenizer of the last step, its quarantine and its facts."""
    save_model(run.trainer.model, draft.folder, text_from=run.config.whisper, language=run.config.language)
    made = WhisperVQTokenizer.load(draft.folder)
    state, sources = run.state, run.feed.sources
    epochs = {source.name: round(state.drawn.get(source.name, 0) / len(source.index), 2) for source in sources}
    bad = {source.name: source.quarantined for source in sources}
    write_quarantine(draft.folder / QUARANTINE, [record for each in bad.values() for record in each])
    draft.facts = TrainedSpeechTokenizerFacts(
        **vars(state.start),
        steps=state.step,
        checkpoint="last",
        language=run.text.language,
        epochs=epochs,
        quarantined={name: dict(sorted(Counter(bad.reason for bad in each).items())) for name, each in bad.items()},
        text_ids_in_use=len(run.trainer.targets.ids_V),
        codes_restarted=state.restarted,
        curve=Curve(run.config.steps, state.curve).rounded(),
        error_rates=tuple(state.error_rates),
        error_rates_without_bottleneck=state.error_rates_without_bottleneck,
        # Facts for building a vocabulary.
        codebook_size=made.facts.codebook_size,
        frame_rate=made.facts.frame_rate,
        fingerprint=made.facts.fingerprint,
    )
