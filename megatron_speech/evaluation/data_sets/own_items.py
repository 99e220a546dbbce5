"""Items as `evaluate` reads them for its cloze and its questions: JSON lines with id, text and metadata.

    {"id": "rain", "text": "It rained.", "metadata": {"ending": "It was wet.", "random_ending": "Cats purr."}}
    {"id": "q1", "text": "The capital of France is", "metadata": {"country": "France", "answer": "Paris"}}

A question has the id of its record in items.jsonl, the country, and its group as subset. With `codes`, the questions
are those that were spoken, each in the first of its readings there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from megatron_speech.config.stages.evaluation_data import DataSetConfig
from megatron_speech.corpus.records import TextDocument, read_jsonl
from megatron_speech.evaluation.data_sets.interface import ItemReader
from megatron_speech.evaluation.data_sets.items import ChoiceItem, EncodedRecording, Item, Passage, QuestionItem
from megatron_speech.evaluation.data_sets.speech_codes import encoded_utterances
from megatron_speech.evaluation.data_sets.tables import tables_below


def _read(config: DataSetConfig) -> Iterator[Item]:
    items = (
        _item(document, f"{table}: item {document.id!r}")
        for table in tables_below(config.folder)
        for document in read_jsonl(table)
    )
    return items if config.codes is None else _spoken(items, _first_readings(config.codes))


def _item(document: TextDocument, place: str) -> Item:
    meta = document.metadata
    if {"ending", "random_ending"} <= meta.keys():
        endings = tuple(Passage(text=str(meta[key])) for key in ("ending", "random_ending"))
        return ChoiceItem(id=document.id, context=Passage(text=document.text), candidates=endings, right=0)
    if "answer" not in meta:
        raise ValueError(f"{place} has neither endings nor an answer in its metadata; correct the layout")
    return QuestionItem(
        id=str(meta.get("country", document.id)),
        subset=str(meta.get("group", "")),
        question=Passage(text=document.text),
        answers=(str(meta["answer"]),),
    )


def _spoken(items: Iterator[Item], readings: Mapping[str, EncodedRecording]) -> Iterator[Item]:
    """The questions among `items` that have a reading."""
    for item in items:
        if isinstance(item, QuestionItem) and item.id in readings:
            yield replace(item, question=Passage(text=item.question.text, recording=readings[item.id]))


def _first_readings(folder: Path) -> dict[str, EncodedRecording]:
    """First reading of every country."""
    readings: dict[str, EncodedRecording] = {}
    for utterance, recording in encoded_utterances(folder):
        if "country" not in utterance.meta:
            raise ValueError(f"{recording.place} lacks 'country' in its metadata; encode the audio again")
        readings.setdefault(str(utterance.meta["country"]), recording)
    return readings


OWN_ITEMS = ItemReader(
    expects="JSON lines with id, text, and metadata with ending and random_ending, or with answer", read=_read
)
