"""The training task of a source is compared with its rows, before a run is planned."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from megatron_speech.config.run.data import DataConfig, SourceConfig, Task
from megatron_speech.config.stages.pack_shards import PackShardsConfig
from megatron_speech.data.packing.pack import pack_shards
from megatron_speech.data.plan.mixture import compile_plan
from megatron_speech.data.shards.document import TokenDocument
from megatron_speech.data.shards.documents import write_documents
from megatron_speech.sequences.speech_tasks import enclosed, recognition_document, speech_ids, synthesis_document
from megatron_speech.vocabulary import SPECIAL_TOKENS, Vocabulary
from tests.damages import member_of, patch

VOCABULARY = Vocabulary(num_text_ids=60, num_speech_ids=60, special_tokens=SPECIAL_TOKENS, padding_multiple=32)
HELD = ("text", "speech", "interleaved", "recognition", "synthesis")
# Interleaved rows have no token of their own, so that their first row denies no task but `text`.
SPOKEN = set(get_args(Task)) - {"text"}
FITTING = {task: {task} for task in HELD} | {"speech": SPOKEN, "interleaved": SPOKEN}


def _documents(task: str) -> Iterator[TokenDocument]:
    text, codes = [5, 6, 7, 8], np.arange(4)
    speech = enclosed(speech_ids(codes, vocabulary=VOCABULARY), vocabulary=VOCABULARY)
    tokens = {"text": np.int32(text), "speech": speech, "interleaved": np.int32([*text, *speech])}
    for number in range(8):
        key = f"d{number}"
        if task == "recognition":
            yield recognition_document(key, text_ids=text, codes=codes, vocabulary=VOCABULARY)
        elif task == "synthesis":
            yield synthesis_document(key, text_ids=text, codes=codes, vocabulary=VOCABULARY)
        else:
            yield TokenDocument(key=key, tokens=tokens[task])


def _packed(folder: Path, documents: Iterable[TokenDocument]) -> Path:
    write_documents(folder / "documents", documents, vocabulary=VOCABULARY, name="a")
    (folder / "documents" / "manifest.json").write_text('{"kind": "documents", "facts": {}}')
    pack_shards(PackShardsConfig(input=folder / "documents", output=folder / "packed", seq_length=16))
    return folder / "packed"


def _plan(source: SourceConfig) -> None:
    compile_plan(DataConfig(seq_length=16, sources={"a": source}), vocabulary=VOCABULARY, num_samples=2)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {task: _packed(tmp_path_factory.mktemp(task), _documents(task)) for task in HELD}


@pytest.mark.parametrize("task", get_args(Task))
@pytest.mark.parametrize("held", HELD)
def test_a_task_that_the_rows_cannot_be_of_is_refused(held: str, task: Task, packed: dict[str, Path]) -> None:
    source = SourceConfig(folder=packed[held], task=task)
    if task in FITTING[held]:
        _plan(source)
        return
    with pytest.raises(ValueError, match=rf"^data\.sources\.a\.task={task}, but \S+ holds .*; set the task") as refused:
        _plan(source)
    assert "\n" not in str(refused.value)


def test_damage_is_left_to_the_training(tmp_path: Path) -> None:
    folder = _packed(tmp_path, _documents("recognition"))
    tar, tokens = member_of(folder, "tokens.i32", block=0)
    patch(tar, tokens.offset, b"\xff")
    _plan(SourceConfig(folder=folder, task="synthesis"))
