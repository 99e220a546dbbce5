"""Published scores of evaluation sets, and why one may not stand beside a score of ours.

published_rows.csv holds one score per line, with its source. Of the protocol behind a score it has what the source
tells; an empty cell was not told. Only a score whose protocol is told, and equal, can be compared.
"""

from __future__ import annotations

import csv
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from megatron_speech.artifacts.facts.record import Record

ACCURACY = "accuracy"
TOLD = ("score", "decoding", "matcher", "normalizer", "recognizer")
"""Entries of a protocol that a source may tell."""


@dataclass(frozen=True, kw_only=True)
class PublishedRow(Record):
    """One published score."""

    set: str
    """Evaluation set as papers call it."""
    pair: str
    """Modality pair, such as speech->text."""
    model: str
    measure: str
    """What the value is: accuracy, WER or CER."""
    value: float
    """In percent."""
    protocol: dict[str, str]
    """Entries of `TOLD` that the source tells."""
    items: int | None
    """Number of items; null if the source does not tell."""
    source: str
    note: str
    """What a reader must know besides."""


@cache
def published_rows() -> tuple[PublishedRow, ...]:
    """All rows, in the order of the file."""
    text = (files("megatron_speech.evaluation.comparison") / "published_rows.csv").read_text()
    return tuple(_row(cells) for cells in csv.DictReader(text.splitlines()))


def rows_of(name: str, *, key: str) -> list[PublishedRow]:
    """Rows of a set. Raises ValueError, which names `key`, if there is none."""
    if not (found := [row for row in published_rows() if row.set == name]):
        sets = list(dict.fromkeys(row.set for row in published_rows()))
        near = difflib.get_close_matches(name, sets, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"the sets are {', '.join(sets)}"
        raise ValueError(f"{key}={name}: no score of such a set is known; {hint}")
    return found


def incomparable(row: PublishedRow, protocol: Mapping[str, Any], items: int, *, measure: str = ACCURACY) -> str:
    """Why a published score is not comparable to our `measure` of so many `items` by `protocol`; empty if it is."""
    reasons = [f"it is a {row.measure}"] if row.measure != measure else []
    reasons += ["here a judge decided"] if protocol.get("judge") else []
    own = {key: protocol.get(key) for key in TOLD}
    unlike = [key for key in TOLD if key in row.protocol and row.protocol[key] != own[key]]
    reasons += [f"{key} was {row.protocol[key]}, here {own[key] or 'none'}" for key in unlike]
    if row.items is not None and row.items != items:
        reasons.append(f"{row.items:,} items, here {items:,}")
    untold = [key for key in TOLD if own[key] and key not in row.protocol]
    if untold := [*untold, *(["items"] if row.items is None else [])]:
        reasons.append(f"{', '.join(untold)} not told")
    return "; ".join(reasons)


def _row(cells: Mapping[str, str]) -> PublishedRow:
    return PublishedRow(
        **{key: cells[key] for key in ("set", "pair", "model", "measure", "source", "note")},
        value=float(cells["value"]),
        protocol={key: cells[key] for key in TOLD if cells[key]},
        items=int(cells["items"]) if cells["items"] else None,
    )
