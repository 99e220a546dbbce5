"""Neither the order of items nor the size of batches changes a credit by likelihood, equal candidates included."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_speech.config.stages.evaluate import GeoQaConfig, SpokenCorpusConfig
from megatron_speech.evaluation.harness import run_task
from megatron_speech.evaluation.tasks.choices.items import EncodedChoice
from megatron_speech.evaluation.tasks.choices.task import ChoicesTask
from megatron_speech.evaluation.tasks.cloze import TASKS, ClozeItem, ClozeTask
from megatron_speech.evaluation.tasks.geo_qa import GeoQaTask, Question
from megatron_speech.evaluation.tasks.likelihood import SpokenText
from megatron_speech.inference.model import LanguageModel
from megatron_speech.metrics.bootstrap import Bootstrap
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from megatron_speech.vocabulary import Vocabulary
from tests.toy_recordings import CODES

BOOTSTRAP = Bootstrap(resamples=100)
NOWHERE = SpokenCorpusConfig(texts=Path("none.jsonl"), codes=Path("none"))


@dataclass(frozen=True)
class OtherBatches:
    """A model that reads so many tokens at a time."""

    model: LanguageModel
    tokens_per_batch: int

    @property
    def tokenizer(self) -> TextTokenizer:
        return self.model.tokenizer

    @property
    def vocabulary(self) -> Vocabulary:
        return self.model.vocabulary

    def token_log_probabilities(self, requests: Sequence[Any], *, progress: str | None = None) -> list[np.ndarray]:
        return self.model.token_log_probabilities(requests, tokens_per_batch=self.tokens_per_batch)


def passage(drawn: random.Random) -> SpokenText:
    """One of a few texts, with one of a few lengths of speech: some are drawn twice."""
    letters = drawn.choice(["a", "b", "ab", "the cat sat", "it rained all night, and the street was wet"])
    return SpokenText(letters, np.arange(drawn.choice([1, 2, 7, 31]), dtype=np.int32) * drawn.randint(1, 2) % CODES)


def choice(number: int, drawn: random.Random) -> EncodedChoice:
    return EncodedChoice(
        data_set="made up",
        id=str(number),
        subset="",
        context=passage(drawn) if drawn.random() < 0.7 else None,
        candidates=(passage(drawn), passage(drawn)),
        right=drawn.randint(0, 1),
        seconds=(1.0, 1.0),
        defect="missing" if drawn.random() < 0.1 else None,
    )


def cloze(number: int, drawn: random.Random) -> ClozeItem:
    return ClozeItem(str(number), passage(drawn), passage(drawn), {part: passage(drawn) for part in TASKS.values()})


def question(number: int, drawn: random.Random) -> Question:
    readings = {str(n): passage(drawn) for n in range(drawn.randint(1, 2))}
    group, candidates = drawn.choice(["spoken", "written_only"]), [passage(drawn) for _ in range(4)]
    return Question(str(number), group, passage(drawn), readings, candidates)


MADE_UP: dict[str, tuple[Any, Any]] = {
    "choices": (ChoicesTask(sets={"made up": None}), choice),
    "cloze": (ClozeTask(NOWHERE), cloze),
    "geo_qa": (GeoQaTask(GeoQaConfig(texts=NOWHERE.texts, codes=NOWHERE.codes)), question),
}


def credits(model: Any, task: Any, items: Sequence[Any]) -> dict[tuple[Any, ...], float]:
    """Credit of every question, by what tells it from others."""
    _, records = run_task(model, task, items, BOOTSTRAP, name="made up")
    found = {tuple(each.get(key) for key in ("task", "pair", "item", "reading")): each["credit"] for each in records}
    assert len(found) == len(records)
    return found


@pytest.mark.parametrize("name", MADE_UP)
@given(seed=st.integers(0, 2**32), tokens_per_batch=st.integers(1, 400))
@settings(max_examples=8, deadline=None)
def test_order_and_batches_change_no_credit(model: LanguageModel, name: str, seed: int, tokens_per_batch: int) -> None:
    drawn = random.Random(seed)
    task, made_up = MADE_UP[name]
    items = [made_up(number, drawn) for number in range(8)]
    expected = credits(model, task, items)
    shuffled = drawn.sample(items, len(items))
    assert credits(OtherBatches(model, tokens_per_batch), task, shuffled) == expected


def test_equal_candidates_share_the_credit_to_the_bit(model: LanguageModel) -> None:
    task, made_up = MADE_UP["cloze"]
    items = [made_up(number, random.Random(number)) for number in range(20)]
    same = [replace(item, false_endings=dict.fromkeys(TASKS.values(), item.ending)) for item in items]
    assert set(credits(model, task, same).values()) == {0.5}
