"""Records of judged answers, for items.jsonl."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from megatron_speech.evaluation.judging.answers import Case
from megatron_speech.evaluation.judging.verdicts import Judgement
from megatron_speech.evaluation.tasks.interface import Record

NO_VERDICT = "no verdict"
OWN = ("credit", "verdicts", "unread", "against", "turned")
"""Keys that a judge writes."""
_SHOWN = 300
"""Characters of a reply without a verdict that are kept."""


def records_of(cases: Sequence[Case], judged: Mapping[str, Sequence[Judgement]]) -> list[Record]:
    """Records for items.jsonl; `judged` has a judgement of each judge for every case without a reason."""
    deciding, *_ = judged.values()
    waiting = zip(deciding, zip(*judged.values(), strict=True), strict=True)
    records = []
    for case in cases:
        record = {key: value for key, value in case.record.items() if key not in OWN}
        if case.other is not None:
            record["against"] = case.other.get("answer")
        if case.reason is not None:
            records.append(record | {"reason": case.reason, "credit": case.settled})
            continue
        decided, every = next(waiting)
        shown = {name: _shown(each) for name, each in zip(judged, every, strict=True)}
        credit = decided.credit
        record |= {"credit": (0.5 if case.other else 0.0) if credit is None else round(credit, 6), "verdicts": shown}
        record |= {"reason": NO_VERDICT} if credit is None else {}
        record |= {"turned": decided.turned} if case.other else {}
        records.append(record | ({"unread": [said[:_SHOWN] for said in decided.unread]} if decided.unread else {}))
    return records


def _shown(judgement: Judgement) -> list[Any]:
    one, *more = judgement.verdicts
    return [one, *more] if more else one
