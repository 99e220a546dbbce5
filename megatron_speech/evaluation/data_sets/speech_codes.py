"""Utterances with transcripts that `tokenize_speech` has encoded: recordings to recognise, and texts to say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from megatron_speech.config.stages.evaluation_data import DataSetConfig
from megatron_speech.data.shards.document import TokenDocument
from megatron_speech.data.shards.documents import read_documents
from megatron_speech.evaluation.data_sets.interface import ItemReader
from megatron_speech.evaluation.data_sets.items import EncodedRecording, Passage, TranscriptItem
from megatron_speech.vocabulary import Vocabulary


def encoded_utterances(folder: Path) -> Iterator[tuple[TokenDocument, EncodedRecording]]:
    """Yield every utterance of a folder of codes, in the order of writing.

    Raises ValueError if the folder holds ids of text as well, or is damaged.
    """
    vocabulary = Vocabulary.load(folder)
    if vocabulary.num_text_ids or vocabulary.special_tokens:
        raise ValueError(f"{folder} holds ids of text as well; name an output of tokenize_speech")
    made_by = vocabulary.speech_fingerprint
    for document in read_documents(folder, vocabulary=vocabulary):
        place = f"{folder}: utterance {document.key!r}"
        yield document, EncodedRecording(codes=document.tokens, speech_tokenizer=made_by, place=place)


def _read(config: DataSetConfig) -> Iterator[TranscriptItem]:
    if not (config.folder / "vocabulary.json").is_file():
        return
    for document, recording in encoded_utterances(config.folder):
        text = document.meta.get("text")
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"{recording.place} has no transcript; encode audio with texts")
        yield TranscriptItem(id=document.key, speech=Passage(text=text, recording=recording))


SPEECH_CODES = ItemReader(expects="an output of tokenize_speech, whose utterances have transcripts", read=_read)
