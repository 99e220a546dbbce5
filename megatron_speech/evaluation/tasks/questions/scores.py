"""Credits of answers by any matcher, and accuracies by set and way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from megatron_speech.evaluation.tasks.credits import credit_estimate, credits_by_subset
from megatron_speech.evaluation.tasks.generation import OTHER_SCRIPT
from megatron_speech.evaluation.tasks.hearing import mean_marks
from megatron_speech.evaluation.tasks.interface import BY_WHISPER, Record, by_whisper
from megatron_speech.evaluation.tasks.questions.answers import LAYOUT_KEPT
from megatron_speech.evaluation.tasks.questions.ways import Way
from megatron_speech.metrics.answer_matching import MATCHERS, RULES
from megatron_speech.metrics.bootstrap import Bootstrap


def credit_of_answer(record: Record, matcher: str) -> float:
    """Credit of a record by any matcher: 1 if its answer is right, 0 if it is not, or if the record has a reason."""
    return 0.0 if record["reason"] else float(RULES[matcher](record["answer"], record["accepted"]))


def accuracies(records: Sequence[Record], bootstrap: Bootstrap) -> dict[str, Any]:
    """Accuracy by every matcher and of every subset; reasons, and the share of answers in another script.

    Of spoken answers with sound, the mean opinion; of thoughts, the share of ended answers that keep the layout.
    """
    judged = [record for record in records if "credit" in record]
    found: dict[str, Any] = {
        name: credit_estimate([credit_of_answer(record, name) for record in judged], bootstrap)
        for name in (RULES if _are_letters(judged) else MATCHERS)
        if judged
    }
    found |= mean_marks(records, bootstrap)
    if kept := [record[LAYOUT_KEPT] for record in records if LAYOUT_KEPT in record]:
        found[LAYOUT_KEPT] = round(sum(kept) / len(kept), 6)
    reasons = Counter(record["reason"] for record in records if record["reason"])
    share = reasons[OTHER_SCRIPT] / len(records)
    other = {"other_script": round(share, 6), "wrong": dict(sorted(reasons.items()))}
    return found | credits_by_subset(judged, bootstrap) | other


def _are_letters(records: Sequence[Record]) -> bool:
    """Whether all accepted answers are letters of options."""
    return all(len(text) == 1 and text.isalpha() for record in records for text in record["accepted"])


def related_parts(
    way: Way, by_pair: Mapping[str, Sequence[Record]], bootstrap: Bootstrap
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield (pair, key, accuracy) of each part of answers in thoughts, among items whose other part is right.

    So they tell what is lost between knowing and saying: the speech where the text is right, and the other way round.
    """
    if way.asked != "thoughts":
        return
    text, spoken = way.pair("text"), way.pair("speech")
    for speech, behind in ((spoken, ""), (by_whisper(spoken), f" {BY_WHISPER}")):
        for pair, other, part in ((speech, text, "text"), (text, speech, f"speech{behind}")):
            right = {record["item"] for record in by_pair.get(other, ()) if record.get("credit") == 1.0}
            if credits := [record["credit"] for record in by_pair.get(pair, ()) if record["item"] in right]:
                yield pair, f"where {part} is right", credit_estimate(credits, bootstrap)
