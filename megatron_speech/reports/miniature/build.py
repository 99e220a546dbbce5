"""Writes the report of a miniature run from its sections, in the order of the steps.

Each section is a function from the run folder to Markdown lines, and draws its own figures. Missing numbers are shown
as "not reported"; steps without a result are listed with the reason. Limitation: the sentences do not depend on the
numbers between them, so they never say whether a number is good.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from megatron_speech.artifacts.facts.evaluation import DecodedSpeechFacts, EvaluationFacts
from megatron_speech.artifacts.facts.tokenizer_report import TokenizerReportFacts
from megatron_speech.artifacts.facts.training import MetricsRecord
from megatron_speech.artifacts.files import write_atomic
from megatron_speech.config.reports.report import ReportConfig
from megatron_speech.reports.facts import (
    HELD_OUT_FROM_CODES,
    NOT_REPORTED,
    RunFolder,
    count,
    duration,
    interval,
    percent,
    prose,
    table,
)
from megatron_speech.reports.miniature.claim import crossing_over
from megatron_speech.reports.miniature.evaluation import evaluation
from megatron_speech.reports.miniature.listening import listening
from megatron_speech.reports.miniature.making import corpus, interleaving, speech_tokenizer, text_to_token
from megatron_speech.reports.miniature.paper import beside_the_paper, what_it_can_show
from megatron_speech.reports.miniature.results import pretraining, samples, speech_decoder

logger = logging.getLogger(__name__)


def report(config: ReportConfig) -> None:
    """Write report.md and its figures into the run folder, replacing older ones.

    Raises FileNotFoundError if the run folder does not exist.
    """
    run = RunFolder(config.folder)
    lines = [f"# {config.title}", ""]
    for section in SECTIONS:
        lines += section(run)
    lines += not_run(run)  # last: the sections note in `run` what they did not find
    write_atomic(config.folder / "report.md", "\n".join(lines).rstrip() + "\n")
    logger.info("%s: written", config.folder / "report.md")


def opening(run: RunFolder) -> list[str]:
    """The opening: what was run, its time, and four headline results."""
    after, decoded = run.facts("evaluation/after", EvaluationFacts), run.facts("wav", DecodedSpeechFacts)
    tokenizer, pretrain = (
        run.facts("tokenizer_report", TokenizerReportFacts),
        run.records("pretrain/metrics.jsonl", MetricsRecord),
    )
    trained = sum(pretrain[-1].tokens.values()) if pretrain else None
    seconds = sum(line["seconds"] for line in run.lines("timings.jsonl"))
    from_codes = tokenizer.error_rates.get(HELD_OUT_FROM_CODES) if tokenizer else None
    wrong = percent(from_codes.wer) if from_codes else NOT_REPORTED
    heard = after.geo_qa.asked_aloud.get("written_only") if after and after.geo_qa else None
    return [
        *prose("""This run turns written text into a model that reads text and hears speech (arXiv 2411.17607). It
        trains a speech tokenizer on recognition, trains a model that generates speech tokens for text, and builds a
        corpus that interleaves text with synthetic speech. It uses the code that runs on a cluster, small enough for
        two processor cores. Every number below was written by the step it describes."""),
        f"- **Time**: {duration(seconds) if seconds else NOT_REPORTED} in all.",
        f"- **Do tokens carry the words?** Held-out words read wrong from 12.5 codes per second: {wrong}.",
        f"- **What did the model learn from?** {count(trained) if trained else NOT_REPORTED} tokens in the loss.",
        "- **Does knowledge cross over?** Spoken questions about capitals that training data only state in writing: "
        f"{interval(heard) if heard else NOT_REPORTED}; guessing gives 25 %.",
        f"- **Can one hear it?** {_hear(decoded)}",
        "",
    ]


def _hear(decoded: DecodedSpeechFacts | None) -> str:
    if decoded is None:
        return "Not in this run: no speech was decoded."
    if decoded.resynthesis is None:
        return "Not in this run: the vocoder's weights were not installed, so no WAV was made."
    wrong = percent(decoded.resynthesis.wer)
    return f"WAV files lie in the run folder's `wav`; {wrong} of their words are heard wrong."


def timings(run: RunFolder) -> list[str]:
    """The section with the time of each step, summed over its attempts."""
    seconds: dict[str, float] = {}
    for line in run.lines("timings.jsonl"):
        seconds[line["step"]] = seconds.get(line["step"], 0.0) + line["seconds"]
    if not seconds:
        return []
    rows = [[step, duration(value)] for step, value in seconds.items()]
    return ["## Time", "", *table(["step", "time"], [*rows, ["**all**", f"**{duration(sum(seconds.values()))}**"]])]


def not_run(run: RunFolder) -> list[str]:
    """The section that lists the steps that other sections did not find, with reasons; no lines if they found all."""
    if not run.absent:
        return []
    return ["## Not in this report", "", *(f"- `{step}`: {why}" for step, why in sorted(run.absent.items())), ""]


SECTIONS: tuple[Callable[[RunFolder], list[str]], ...] = (
    opening,
    crossing_over,
    corpus,
    speech_tokenizer,
    text_to_token,
    interleaving,
    pretraining,
    evaluation,
    samples,
    speech_decoder,
    listening,
    beside_the_paper,
    what_it_can_show,
    timings,
)
