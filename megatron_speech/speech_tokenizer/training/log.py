"""Logs a training to TensorBoard and to the log every `every_steps` steps, on rank 0 only."""

from __future__ import annotations

import logging

import torch

from megatron_speech.speech_tokenizer.quantizer import perplexity
from megatron_speech.speech_tokenizer.training.step import StepResult, Trainer
from megatron_speech.speech_training.log import StepLog

logger = logging.getLogger(__name__)


class TrainingLog(StepLog[StepResult]):
    """Collects results of steps and logs their means."""

    def step(self, trainer: Trainer, result: StepResult, *, utterances: int, last: bool) -> None:
        """Add the result of a step; logs every `every_steps` steps and after the `last` one.

        `utterances` have been heard so far.
        """
        if not self.is_due(result, step=trainer.step, last=last):
            return
        scalars = {**self._means(), **codebook_scalars(trainer)}
        scalars["learning_rate"] = max(group["lr"] for group in trainer.optimizer.param_groups)
        self.write(scalars, trainer.step)
        logger.info(
            "step %d of %d: cross-entropy %.3f, commitment %.4f, perplexity %.0f (running average of the codebook), "
            "%s of %s codes unused in the last %s, "
            "%.0f s of speech per second, %s utterances so far, %s",
            *(trainer.step, self.steps),
            *(scalars[name] for name in ("cross_entropy", "commitment", "codebook/perplexity")),
            *(f"{scalars['codebook/dead']:,}", f"{len(trainer.ema.ema_count):,}", _steps_looked_at(trainer)),
            scalars["speech_per_second"],
            *(f"{utterances:,}", self.progress.left_in_words()),
        )
        self.restart_clock()

    def validation(self, step: int, rates: dict[str, float]) -> None:
        """Log the word error rates from codes after `step`."""
        self.write({f"word_error_rate/{name}": rate for name, rate in rates.items()}, step)
        logger.info("step %d of %d%s", step, self.steps, shown({"from codes": rates}))

    def _means(self) -> dict[str, float]:
        number, results = len(self.results), self.results
        return {
            "cross_entropy": sum(result.cross_entropy for result in results) / number,
            "commitment": sum(result.commitment for result in results) / number,
            "gradient_norm": sum(result.grad_norm for result in results) / number,
            "codebook/restarted": sum(result.restarted for result in results),
            "speech_per_second": sum(result.seconds for result in results) / self.seconds,
        }


def shown(rates: dict[str, dict[str, float]]) -> str:
    """Word error rates by recogniser and validation set, as the end of a log line; empty without rates."""
    by_reader = {
        reader: ", ".join(f"{name} {rate:.2%}" for name, rate in sets.items()) for reader, sets in rates.items() if sets
    }
    return "".join(f"; word error rate {reader}: {said}" for reader, said in by_reader.items())


def _steps_looked_at(trainer: Trainer) -> str:
    """Over how many steps a code counts as unused: an interval, or all steps so far of a shorter training."""
    steps = min(trainer.ema.interval, trainer.ema.num_updates)
    return f"{steps:,} steps" if steps > 1 else "step"


def codebook_scalars(trainer: Trainer) -> dict[str, float]:
    """Scalars on the use of the codebook: perplexity of the running averages, number of dead codes, share of others."""
    dead = int(trainer.ema.dead().sum())
    counts_K: torch.Tensor = trainer.ema.ema_count
    return {
        "codebook/perplexity": perplexity(counts_K),
        "codebook/usage": 1 - dead / len(counts_K),
        "codebook/dead": dead,
    }
