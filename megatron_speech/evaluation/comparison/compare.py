"""Compares evaluations of models: a table or JSON, references beside the scores, and a figure of the differences."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from megatron_speech.artifacts.plain_json import to_json
from megatron_speech.config.inspection.compare_evaluations import CompareEvaluationsConfig
from megatron_speech.evaluation.comparison.figure import draw
from megatron_speech.evaluation.comparison.references import reference_lines, references_of
from megatron_speech.evaluation.comparison.scores import ComparedScore, Leaked, compared_scores
from megatron_speech.evaluation.comparison.table import names_of, score_lines, task_names
from megatron_speech.evaluation.contamination.check import leaked_items


def compare_evaluations(config: CompareEvaluationsConfig) -> Iterator[str]:
    """Lines of the comparison: tables, or JSON. Draws `config.figure` before the first line.

    Raises as `compared_scores` and `references_of`, and ValueError if a figure is asked for without matplotlib.
    """
    names, scores = names_of(config.evaluations), compared_scores(config)
    references = references_of(config, scores, names)
    found = _leaked(config.leaks, scores) if config.leaks else frozenset()
    cleaned = compared_scores(config, without=found) if config.leaks else []
    if config.figure is not None:
        draw(scores, names, config.figure)
    if config.json:
        record = {
            "evaluations": [str(folder) for folder in config.evaluations],
            "scores": [each.to_json() for each in scores],
            "without_leaks": [each.to_json() for each in cleaned],
            "references": [each.to_json() for each in references],
        }
        yield to_json(record, indent=1)
        return
    yield from score_lines(scores, names)
    if config.leaks:
        yield f"\nwithout {len(found)} items that training data have:"
        yield from score_lines(cleaned, names)
        yield from _emptied(scores, cleaned)
        for name in sorted({data_set for data_set, _ in found} - _data_sets(scores)):
            yield f"{name}: no task of the evaluations, so its found items are in none"
    if references:
        yield "\nbetween chance and topline:"
        yield from reference_lines(scores, references, names)


def _leaked(folder: Path, scores: Sequence[ComparedScore]) -> Collection[Leaked]:
    """Items in `folder`; ValueError if none of their data sets has the name of a task."""
    found, known = leaked_items(folder), _data_sets(scores)
    if found and not (theirs := {data_set for data_set, _ in found}) & known:
        raise ValueError(
            f"leaks={folder}: none of its data sets ({', '.join(sorted(theirs))}) is a task of the evaluations "
            f"({', '.join(sorted(known))}); check contamination under the names of evaluate"
        )
    return found


def _data_sets(scores: Sequence[ComparedScore]) -> set[str]:
    return {name for score in scores for name in score.measure.data_sets}


def _emptied(scores: list[ComparedScore], cleaned: list[ComparedScore]) -> Iterator[str]:
    left, shown = {score.measure for score in cleaned}, task_names([score.measure for score in scores])
    yield from (f"{name} {of.shown}: no item is left" for of, name in shown.items() if of not in left)
