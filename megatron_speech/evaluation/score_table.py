"""Lays the estimates of evaluation.json out as a table of plain text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

HEAD = ("task", "pair", "score", "95 % interval", "chance", "n", "")
"""Heads of the columns. n is the number of independent items, and the last column marks small ones. The pair may name a
source or group as well."""
FEW = 30
"""Below this number of items a row is marked."""
MARK = "few"
LOSS = "held_out is a loss in nats per token: lower is better"
RATES = "recognition and synthesis have error rates: lower is better"
OPINION = "dnsmos is an opinion from 1 (bad) to 5 (excellent)"
LIKENESS = "speaker_similarity is about 0.9 for the voice of the prompt, and about 0.5 for another"
_LEFT_ALIGNED = 2


def score_table(results: Mapping[str, Any]) -> list[str]:
    """Lines of the table: the head, one per estimate, and what a score is that is no accuracy."""
    rows = [HEAD, *_rows(results, names=(), chance=None)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(_aligned, row, widths, range(len(row)))).rstrip() for row in rows]
    few = [f"few: fewer than {FEW} items; such a score may change much with others"]
    notes = few if any(row[-1] == MARK for row in rows) else []
    units = {LOSS: {"held_out"}, RATES: {"recognition", "synthesis"}}
    notes += [OPINION] if any(" dnsmos" in row[1] for row in rows) else []
    notes += [LIKENESS] if any("speaker_similarity" in row[1] for row in rows) else []
    return [*lines, *notes, *(unit for unit, tasks in units.items() if tasks & results.keys())]


def _rows(found: Mapping[str, Any], *, names: tuple[str, ...], chance: float | None) -> Iterator[tuple[str, ...]]:
    """Rows of all estimates in `found`, which stands under the keys `names`; guessing scores `chance`."""
    chance = found.get("chance", chance)
    if "value" in found and "items" in found:
        task, *pair = names
        interval = f"{found['low']:.4f} to {found['high']:.4f}"
        guessed = "-" if chance is None else f"{chance:g}"
        value, number = f"{found['value']:.4f}", f"{found['items']:,}"
        yield task, " ".join(pair) or "-", value, interval, guessed, number, MARK if found["items"] < FEW else ""
        return
    for name, part in found.items():
        if isinstance(part, Mapping):
            yield from _rows(part, names=(*names, name), chance=chance)


def _aligned(cell: str, width: int, column: int) -> str:
    return f"{cell:<{width}}" if column < _LEFT_ALIGNED else f"{cell:>{width}}"
