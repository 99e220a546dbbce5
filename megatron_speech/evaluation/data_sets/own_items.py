"""Items as `evaluate` reads them for its cloze and its questions: JSON lines with id, text and metadata.

    {"id": "rain", "text": "It rained.", "metadata": {"ending": "It was wet.", "random_ending": "Cats purr."}}
    {"id": "q1", "text": "The capital of France is", "metadata": {"country": "France", "answer": "Paris"}}

A question has the id of its record in items.jsonl, the country.
"""

from __future__ import annotations

from collections.abc import Iterator

from megatron_speech.config.stages.evaluation_data import DataSetConfig
from megatron_speech.corpus.records import TextDocument, read_jsonl
from megatron_speech.evaluation.data_sets.interface import ItemReader
from megatron_speech.evaluation.data_sets.items import ChoiceItem, Item, Passage, QuestionItem
from megatron_speech.evaluation.data_sets.tables import tables_below


def _read(config: DataSetConfig) -> Iterator[Item]:
    for table in tables_below(config.folder):
        yield from (_item(document, f"{table}: item {document.id!r}") for document in read_jsonl(table))


def _item(document: TextDocument, place: str) -> Item:
    meta = document.metadata
    if {"ending", "random_ending"} <= meta.keys():
        endings = tuple(Passage(text=str(meta[key])) for key in ("ending", "random_ending"))
        return ChoiceItem(id=document.id, context=Passage(text=document.text), candidates=endings, right=0)
    if "answer" not in meta:
        raise ValueError(f"{place} has neither endings nor an answer in its metadata; correct the layout")
    name = str(meta.get("country", document.id))
    return QuestionItem(id=name, question=Passage(text=document.text), answers=(str(meta["answer"]),))


OWN_ITEMS = ItemReader(
    expects="JSON lines with id, text, and metadata with ending and random_ending, or with answer", read=_read
)
