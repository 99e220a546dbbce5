"""What recognition and synthesis share: lines of data sets, and word and character error rates of the answers.

Both sides pass through the normaliser of the language. Every line with a word counts: all words of one that could not
be asked, or that got no answer, are errors. Lines without a word after normalisation have no rate and are counted.

    wer, cer             errors of all lines over words, or characters, of all lines
    wer_of_lines, ...    mean of the rates of lines, as seed-tts-eval has it; short lines count as much as long ones

Chinese has character error rates only.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from megatron_speech.evaluation.normalizers import NORMALIZERS
from megatron_speech.evaluation.scripts import ScriptLanguage
from megatron_speech.evaluation.tasks.generation import reason_of
from megatron_speech.evaluation.tasks.hearing import mean_marks
from megatron_speech.evaluation.tasks.interface import BY_WHISPER, Record, Written
from megatron_speech.evaluation.tasks.likelihood import SpokenText
from megatron_speech.evaluation.tasks.spoken_items import passage_bytes
from megatron_speech.metrics.bootstrap import Bootstrap
from megatron_speech.metrics.word_errors import utterance_edits

NORMALIZER: dict[ScriptLanguage, str] = {"en": "english", "zh": "chinese"}
"""Normaliser of each language."""
_RATES = {"wer": ("word_edits", "words"), "cer": ("character_edits", "characters")}


@dataclass(frozen=True, kw_only=True)
class Line:
    """A text, spoken or to be said."""

    data_set: str
    id: str
    subset: str
    spoken: SpokenText
    defect: str | None
    """Why it cannot be asked."""
    voice: Path | bytes | None = None
    """Recording whose voice a spoken text should have, if voices are compared."""


def prompt_hash(lines: Sequence[Line]) -> str:
    """Hash of all lines, for a protocol."""
    digest = hashlib.sha256()
    for line in lines:
        digest.update(f"{line.data_set}\0{line.id}\0{line.defect}\0".encode() + passage_bytes(line.spoken))
        if line.voice is not None:
            digest.update(line.voice if isinstance(line.voice, bytes) else line.voice.read_bytes())
    return digest.hexdigest()


def line_records(
    lines: Sequence[Line],
    answers: Iterator[tuple[Written, str, Record]],
    *,
    pair: str,
    language: ScriptLanguage,
) -> list[Record]:
    """One record per line; `answers` hold the answer to every line without a defect, with its text and notes."""
    records: list[Record] = []
    for line in lines:
        record: Record = {"task": line.data_set, "pair": pair, "item": line.id, "subset": line.subset}
        record |= {"reference": line.spoken.text, "answer": "", "reason": line.defect}
        if line.defect is None:
            answer, text, notes = next(answers)
            reason = reason_of(answer, text, language)
            record |= {"answer": text, "ended": answer.reason == "stop", "reason": reason, **notes}
        records.append(record | _edits(record["reference"], record["answer"], language))
    return records


def _edits(reference: str, answer: str, language: ScriptLanguage) -> Record:
    """Edits and sizes of a line; nothing for one without a word."""
    normalizer = NORMALIZERS[NORMALIZER[language]]
    if not normalizer(reference):
        return {}
    edits = utterance_edits([reference], [answer], normalizer=normalizer)
    return {name: int(getattr(edits, name)[0]) for names in _RATES.values() for name in names}


def rates_by_set(
    sets: Sequence[str], records: Sequence[Record], bootstrap: Bootstrap, *, language: ScriptLanguage
) -> dict[str, Any]:
    """Error rates by set and subset, with the number of lines and reasons of answers that are wrong as a whole.

    Rates of speech that Whisper read stand under a name of their own.
    """
    results: dict[str, Any] = {}
    for name in sets:
        own = [record for record in records if record["task"] == name]
        second = [record for record in own if record["pair"].endswith(BY_WHISPER)]
        first = [record for record in own if not record["pair"].endswith(BY_WHISPER)]
        results[name] = _results(first, bootstrap, language)
        if second:
            results[name][BY_WHISPER] = _results(second, bootstrap, language)
    return results | {"normalizer": NORMALIZER[language]}


def _results(records: Sequence[Record], bootstrap: Bootstrap, language: ScriptLanguage) -> dict[str, Any]:
    """Results of one set by one recogniser."""
    measured = [record for record in records if "words" in record]
    results = _rates(measured, bootstrap, language) | mean_marks(records, bootstrap)
    if len(subsets := sorted({record["subset"] for record in measured})) > 1:
        parts = {part: [each for each in measured if each["subset"] == part] for part in subsets}
        results["subsets"] = {part: _rates(each, bootstrap, language) for part, each in parts.items()}
    reasons = Counter(record["reason"] for record in records if record["reason"])
    results |= {"items": len(records), "without_words": len(records) - len(measured)}
    return results | {"wrong": dict(sorted(reasons.items()))}


def _rates(records: Sequence[Record], bootstrap: Bootstrap, language: ScriptLanguage) -> dict[str, Any]:
    rates: dict[str, Any] = {}
    for rate, (edits, size) in _RATES.items():
        if records and (rate, language) != ("wer", "zh"):
            made, sizes = ([record[key] for record in records] for key in (edits, size))
            rates[rate] = bootstrap.ratio(made, sizes).rounded().to_json()
            of_lines = [each / total for each, total in zip(made, sizes, strict=True)]
            rates[f"{rate}_of_lines"] = bootstrap.mean(of_lines).rounded().to_json()
    return rates
