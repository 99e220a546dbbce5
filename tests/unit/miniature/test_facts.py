"""The corpus of facts: what may never be heard is only ever written, and every epoch states every fact once."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from megatron_speech.config.stages.miniature import MAX_TOWNS, PrepareFactsConfig, SpeakCorpusConfig
from megatron_speech.miniature.corpus import read_jsonl
from megatron_speech.miniature.facts import ASKED, WORDINGS, prepare_facts
from megatron_speech.miniature.geography import WITH_ARTICLE
from megatron_speech.miniature.invented import EMBLEMS, FIRST, LAST, MIDDLE, invent_towns
from megatron_speech.miniature.utterances import plan_utterances

EPOCHS = 3


@pytest.fixture
def facts(packages: Path, tmp_path: Path) -> Path:
    config = PrepareFactsConfig(
        assets=packages,
        output=tmp_path / "facts",
        towns=32,
        written_epochs=EPOCHS,
        spoken_epochs=EPOCHS,
        passages=200,
        heldout_passages=20,
        heldout_share=0.1,
    )
    prepare_facts(config)
    return config.output


def spoken_texts(facts: Path) -> list[str]:
    documents = [
        document for part in ("train", "heldout", "spoken") for document in read_jsonl(facts / f"{part}.jsonl")
    ]
    assert all(document["metadata"]["speakable"] for document in documents)
    return [document["text"] for document in documents]


def test_an_answer_of_a_written_only_subject_is_in_no_sentence_that_may_be_spoken(facts: Path) -> None:
    questions = [document["metadata"] for document in read_jsonl(facts / "questions.jsonl")]
    secret = {meta["country"]: meta["answer"] for meta in questions if meta["group"].endswith("written_only")}
    assert len(secret) >= 24
    sentences = [sentence for text in spoken_texts(facts) for sentence in re.split(r"(?<=\.) ", text)]
    assert not [s for s in sentences if any(name in s and answer in s for name, answer in secret.items())]
    for name in secret:
        assert any(name in sentence for sentence in sentences), f"{name} is never heard"


def test_every_third_passage_is_a_list_of_names_without_an_answer(facts: Path) -> None:
    answers = {document["metadata"]["answer"] for document in read_jsonl(facts / "questions.jsonl")}
    passages = [document["text"] for document in read_jsonl(facts / "train.jsonl")]
    lists = passages[2::3]
    assert all(3 <= text.count(",") + 1 <= 8 and text.endswith(".") for text in lists)
    assert not {name for text in lists for name in text.rstrip(".").split(", ")} & answers
    assert not any(", " in text for text in passages[0::3])


def test_a_written_epoch_states_every_answer_once(facts: Path) -> None:
    questions = [document["metadata"] for document in read_jsonl(facts / "questions.jsonl")]
    written = [document["text"] for document in read_jsonl(facts / "written.jsonl")]
    patterns = [pattern for relation in ASKED for pattern in WORDINGS[relation]]
    for meta in questions:
        name = f"the {meta['country']}" if meta["country"] in WITH_ARTICLE else meta["country"]
        stated = [pattern.format(subject=name, value=meta["answer"]).lower() for pattern in patterns]
        assert sum(text.lower().count(sentence) for text in written for sentence in stated) == EPOCHS


def test_held_out_sentences_are_not_among_those_to_train_on(facts: Path) -> None:
    train, heldout = (
        {s for d in read_jsonl(facts / f"{part}.jsonl") for s in re.split(r"(?<=\.) ", d["text"])}
        for part in ("train", "heldout")
    )
    assert len(heldout) > 10 and not train & heldout


def test_emblems_are_spread_evenly_over_both_groups() -> None:
    towns = invent_towns(64)
    for group in ("written_only", "spoken"):
        assert Counter(town.emblem for town in towns if town.group == group) == dict.fromkeys(EMBLEMS, 2)
    assert len({town.name for town in towns}) == 64
    assert invent_towns(8) == towns[:8], "a larger number adds towns"


@pytest.mark.parametrize("count", [7, MAX_TOWNS + 1])
def test_a_number_of_towns_beyond_the_names_is_refused(count: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"towns={count} must lie in 8 to 960; no more can be named"):
        PrepareFactsConfig(assets=tmp_path, output=tmp_path, towns=count)
    assert len({town.name for town in invent_towns(MAX_TOWNS)}) == MAX_TOWNS == len(FIRST) * len(MIDDLE) * len(LAST)


def test_every_wording_names_its_subject_and_its_value_once() -> None:
    for patterns in WORDINGS.values():
        assert len(set(patterns)) == 6
        assert all(pattern.count("{subject}") == pattern.count("{value}") == 1 for pattern in patterns)


def test_questions_are_the_first_wording_without_its_value(facts: Path) -> None:
    for document in read_jsonl(facts / "questions.jsonl"):
        meta = document["metadata"]
        assert meta["answer"] in meta["candidates"] and len(set(meta["candidates"])) == 4
        whole = f"{document['text']} {meta['answer']}."
        assert any(document["text"] in WORDINGS[r][0].format(subject=meta["country"], value="x") for r in ASKED), whole


def test_the_voices_read_its_sentences_and_questions(facts: Path, packages: Path, tmp_path: Path) -> None:
    def planned(part: Any, **settings: Any) -> list[str]:
        config = SpeakCorpusConfig(assets=packages, corpus=facts, output=tmp_path, part=part, **settings)
        return [utterance.text for utterance in plan_utterances(config, {"hibari": 50})]

    passages = {document["text"] for document in read_jsonl(facts / "train.jsonl")}
    said = planned("train", geography_share=0, span_share=0)
    assert len(said) == 50 and set(said) <= passages
    asked = planned("questions", items=16, readings=3)
    assert len(asked) == 48 and len([text for text in asked if "emblem" in text]) == 24, "both kinds alternate"
    candidates = {c for d in read_jsonl(facts / "questions.jsonl") for c in d["metadata"]["candidates"]}
    assert set(planned("answers")) == candidates


def test_fewer_wordings_are_the_first_ones(packages: Path, tmp_path: Path) -> None:
    prepare_facts(PrepareFactsConfig(assets=packages, output=tmp_path / "facts", towns=8, wordings=1, written_epochs=1))
    first = [re.compile(patterns[0].format(subject=".+", value=".+"), re.I) for patterns in WORDINGS.values()]
    sentences = [s for d in read_jsonl(tmp_path / "facts" / "written.jsonl") for s in re.split(r"(?<=\.) ", d["text"])]
    assert sentences and all(any(pattern.fullmatch(sentence) for pattern in first) for sentence in sentences)


def test_a_share_that_holds_nothing_out_is_refused(packages: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"heldout_share leaves no sentence for heldout\.jsonl; change it"):
        prepare_facts(PrepareFactsConfig(assets=packages, output=tmp_path / "facts", towns=8, heldout_share=1e-9))
