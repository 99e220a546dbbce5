"""Section on the evaluation before and after training: one table of all tasks, two figures, and held-out losses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from megatron_speech.artifacts.facts.estimate import ErrorRatesFacts, EstimateFacts, estimates_in
from megatron_speech.artifacts.facts.evaluation import (
    ClozeFacts,
    EvaluationFacts,
    GeoQaFacts,
    HeldOutFacts,
    LossFacts,
)
from megatron_speech.artifacts.facts.tokenizer_report import TokenizerReportFacts
from megatron_speech.reports import plots
from megatron_speech.reports.facts import (
    HELD_OUT_FROM_CODES,
    NOT_REPORTED,
    RunFolder,
    count,
    decimal,
    interval,
    percent,
    prose,
    shown,
    table,
)

Names = tuple[str, ...]
Estimates = Mapping[Names, EstimateFacts]
"""Estimates by the keys under which evaluation.json has them."""
HEADER = ["task", "asked how", "before", "after", "chance", "topline", "items"]
CLOZE = {"WikiTopicCloze": "topic", "WikiSameTopicCloze": "same_topic"}
"""Cloze tasks, with their names in the facts."""
GROUPS = {"spoken": "capital spoken and written", "written_only": "capital only written"}
ASKED = {"text->text": "written question", "speech->text": "spoken question"}
SPOKEN_LINES = {"recognition": "held-out speech to text", "synthesis": "held-out text to speech"}
"""Tasks with error rates, and what they turn into what."""


def evaluation(run: RunFolder) -> list[str]:
    """The section on all evaluation tasks and held-out loss, before and after training."""
    before, after = (run.facts(f"evaluation/{when}", EvaluationFacts) for when in ("before", "after"))
    lines = [
        "## Evaluation, before and after",
        "",
        *prose("""Cloze tasks compare the likelihood of the true last sentence of a held-out article with that of
        another one, from an article of another topic (WikiTopicCloze) or of the same topic (WikiSameTopicCloze).
        Context and ending are written or spoken. The numbers cannot be compared with those of StoryCloze."""),
        *prose("""GeoQA asks for the capital of a country: by the likelihood of four capitals of a region, or in the
        model's own words. For half of the countries, training speech contains the country's name but never its
        capital. A right answer to a spoken question about them shows knowledge that crossed over from text."""),
    ]
    if not before and not after:
        return [*lines, "Not run.", ""]
    _draw(run, before, after)
    held_out = [facts.held_out if facts else {} for facts in (before, after)]
    return [
        *lines,
        *prose("""Scores are shares of right answers. Recognition and synthesis have word error rates, where lower is
        better. Brackets are 95 % intervals over items. The topline of what is asked aloud is the same model, asked
        in writing. That of recognition and synthesis is the speech tokenizer's recogniser on the codes of held-out
        recordings: of so many utterances, of which the rows have the first. It also reads what the model says."""),
        *table(HEADER, [*_rows(run, before, after)]),
        "![Accuracy in the four modality pairs](accuracy.png)",
        "",
        "![GeoQA by question and group](geo_qa.png)",
        "",
        *_held_out(*held_out),
    ]


def _draw(run: RunFolder, before: EvaluationFacts | None, after: EvaluationFacts | None) -> None:
    cloze = [facts.cloze if facts else None for facts in (before, after)]
    by_task = {task: (_cloze(cloze[0], field), _cloze(cloze[1], field)) for task, field in CLOZE.items()}
    plots.plot_accuracy(run.folder / "accuracy.png", by_task, chance=0.5)
    old, new = (_geo_qa(facts.geo_qa if facts else None) for facts in (before, after))
    plots.plot_geo_qa(run.folder / "geo_qa.png", old, new, chance=0.25)


def _rows(run: RunFolder, before: EvaluationFacts | None, after: EvaluationFacts | None) -> Iterator[list[str]]:
    """Rows of the table, by task."""
    old, new = _estimates(before), _estimates(after)
    for task in CLOZE:
        for pair in plots.PAIRS:
            how = f"{pair.replace('->', ' to ')}, likelihood"
            yield _row(task, how, (task, pair), old, new, chance="50 %", topline=_written(new, (task, pair)))
    for group, name in GROUPS.items():
        for pair, asked in ASKED.items():
            for how, chance, names in (
                ("likelihood", "25 %", ("geo_qa", pair, group)),
                ("own words", "-", ("capitals", pair, "subsets", group)),
            ):
                topline = _written(new, names)
                yield _row(f"GeoQA, {name}", f"{asked}, {how}", names, old, new, chance=chance, topline=topline)
    report = run.facts("tokenizer_report", TokenizerReportFacts)
    read = report.error_rates.get(HELD_OUT_FROM_CODES) if report else None
    topline = _of_recognizer(read) if read else NOT_REPORTED
    for task, how in SPOKEN_LINES.items():
        yield _row(f"{task}, word errors", how, (task, "wer"), old, new, chance="-", topline=topline)


def _of_recognizer(read: ErrorRatesFacts) -> str:
    """Word errors of the recogniser, with the number of its utterances, which may be more than those of the rows."""
    bounds = f"{100 * read.wer_low:.1f}-{100 * read.wer_high:.1f}"
    return f"{percent(read.wer)} ({bounds}), {count(read.utterances)} utterances"


def _row(
    task: str, how: str, names: Names, before: Estimates, after: Estimates, *, chance: str, topline: str
) -> list[str]:
    old, new = before.get(names), after.get(names)
    known = new or old
    cells = [shown(each, interval) for each in (old, new)]
    return [task, how, *cells, chance, topline, count(known.items) if known else NOT_REPORTED]


def _written(estimates: Estimates, names: Names) -> str:
    """Score of the same task with everything in writing; "-" for itself."""
    pairs = dict.fromkeys(plots.PAIRS, "text->text")
    written = tuple(pairs.get(name, name) for name in names)
    return "-" if written == names else shown(estimates.get(written), interval)


def _estimates(facts: EvaluationFacts | None) -> Estimates:
    """All estimates of one evaluation that the table shows."""
    found: dict[Names, EstimateFacts] = {}
    if facts is None:
        return found
    for task, field in CLOZE.items():
        found |= {(task, pair): estimate for pair, estimate in _cloze(facts.cloze, field).items()}
    for pair, groups in _geo_qa(facts.geo_qa).items():
        found |= {("geo_qa", pair, group): estimate for group, estimate in groups.items()}
    found |= estimates_in(facts.questions or {})
    for task in SPOKEN_LINES:
        results: dict[str, Any] = (getattr(facts, task) or {}).get("heldout", {})
        found |= estimates_in(results, task)
    return found


def _cloze(facts: ClozeFacts | None, field: str) -> dict[str, EstimateFacts]:
    """Accuracies of a cloze task by modality pair; empty without facts."""
    found: dict[str, EstimateFacts] = getattr(facts, field) if facts else {}
    return found


def _geo_qa(facts: GeoQaFacts | None) -> dict[str, dict[str, EstimateFacts]]:
    """Accuracies by modality pair and group; empty without facts."""
    asked = (facts.asked_in_writing, facts.asked_aloud) if facts else ({}, {})
    return dict(zip(ASKED, asked, strict=True))


def _held_out(before: dict[str, HeldOutFacts], after: dict[str, HeldOutFacts]) -> list[str]:
    rows = []
    for source in dict.fromkeys([*before, *after]):
        found = [facts.get(source) for facts in (before, after)]
        for modality in ("text", "speech"):
            losses: list[LossFacts | None] = [getattr(each, modality) if each else None for each in found]
            if any(losses):
                rows.append([source, modality, *(shown(loss.value if loss else None, decimal) for loss in losses)])
    if not rows:
        return []
    return ["### Held-out loss, nats per token", "", *table(["source", "targets", "before", "after"], rows)]
