"""The noise of synthetic speech: who is drawn, what is compared, and that noisy shards are set aside and named."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from megatron_speech.artifacts.facts.interleaved import NoiseRow
from megatron_speech.artifacts.manifest import read_manifest
from megatron_speech.config.stages.build_interleaved import NoiseConfig
from megatron_speech.data.shards.document import TokenDocument
from megatron_speech.data.shards.documents import read_documents
from megatron_speech.interleave import build, report
from megatron_speech.interleave.compose import Composed, Piece
from megatron_speech.interleave.models import Models
from megatron_speech.interleave.noise import SpanSample, length_labels, shard_rate, summarize
from megatron_speech.interleave.stream import Interleaved
from megatron_speech.vocabulary import Vocabulary
from tests.unit.interleave.toys import run

SAID = ["the river runs to the sea", "in 1984 it cost five pounds", "Anna Smith of York", "he said go"]


class Reader:
    """A recogniser that hears the texts it is given, by their first code."""

    def __init__(self, *heard: str) -> None:
        self.heard = heard

    def recognize(self, codes: Sequence[np.ndarray]) -> list[str]:
        return [self.heard[int(sequence[0])] for sequence in codes]


def document(number: int, text: str, text_class: str, units: int, *, codes: int = 3) -> Interleaved:
    """A document whose one span is `text`, its codes naming it."""
    reading = text.replace("1984", "nineteen eighty four")
    piece = Piece(text, (0, units), (0, len(text)), True, text_class, reading)
    spoken = {0: np.full(codes, number, np.int32)}
    meta = {"spans": [{"key": f"d{number}#0:0", "words": [0, units]}]}
    tokens = np.zeros(1, np.int32)
    made = TokenDocument(key=f"d{number}#0", tokens=tokens, meta=meta)
    return Interleaved(made, [piece], spoken, Composed(tokens, [], 1), Counter())


def sample_of(documents: Sequence[Interleaved], size: int = 9) -> SpanSample:
    sample = SpanSample(size, seed=0, max_codes=375)
    for each in documents:
        sample.show(each)
    return sample


def test_spoken_forms_are_compared_by_class_and_length():
    classes = ["prose", "numbers", "names", "dialogue"]
    documents = [document(n, SAID[n], classes[n], (6, 6, 4, 21)[n]) for n in range(4)]
    heard = ["the river runs to the sea", "in nineteen eighty four it cost five pounds", "Anna Smith of", "go"]
    rows = sample_of(documents).read_back(Reader(*heard), language="en", shard="0")
    facts = summarize([(rows, 4)])
    assert facts.wer is not None
    assert [facts.by_class[name].wer.value for name in classes] == [0, 0, 0.25, pytest.approx(2 / 3, abs=1e-5)]
    assert list(facts.by_length) == ["1-4", "5-9", "20+"]
    assert length_labels() == ["1-4", "5-9", "10-14", "15-19", "20+"]
    assert facts.wer.items == facts.spans == 4
    assert shard_rate(rows) == pytest.approx(facts.wer.value, abs=1e-6)
    assert facts.wer.low <= facts.wer.value <= facts.wer.high
    assert (summarize([([], 0)]).wer, shard_rate([])) == (None, None)


def test_a_sampled_span_stands_for_the_spans_of_its_shard():
    rows = sample_of([document(0, SAID[0], "prose", 6)]).read_back(
        Reader("the river runs to the sea"), language="en", shard="0"
    )
    bad = [replace(row, word_edits=row.words, text_class="names") for row in rows]
    facts = summarize([(rows, 300), (bad, 100)])
    assert facts.wer is not None and facts.wer.value == pytest.approx(0.25)
    assert facts.by_class["names"].wer.value == pytest.approx(1)
    assert facts.wer.items == 2


def test_of_chinese_every_character_is_a_word():
    documents = [document(0, "今天天气很好", "prose", 6)]
    (row,) = sample_of(documents).read_back(Reader("今天天汽很好"), language="zh", shard="0")
    assert (row.word_edits, row.words) == (1, 6)


def test_the_sample_depends_on_the_keys_alone():
    documents = [document(n, f"river {n}", "prose", 2) for n in range(40)]
    reader = Reader(*(["river"] * 40))
    drawn = [
        {row.key for row in sample_of(order, 8).read_back(reader, language="en", shard="0")}
        for order in (documents, documents[::-1])
    ]
    assert drawn[0] == drawn[1] and len(drawn[0]) == 8
    sample = sample_of([*documents, document(3, "so long", "prose", 2, codes=376)], 50)
    assert sample.too_long == 1 and len(sample.read_back(reader, language="en", shard="0")) == 40


@pytest.fixture
def noisy(config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A build whose recogniser hears nothing in the spans of documents 3 and 4, which make no shard with others."""
    monkeypatch.setattr(Models, "sample", lambda _: SpanSample(6, seed=0, max_codes=375))

    def read_back(loaded: Models, sample: SpanSample, *, shard: str) -> list[NoiseRow]:
        rows = sample.read_back(Reader(*([""] * 16)), language="en", shard=shard)
        return [replace(row, word_edits=row.words if "wiki-6" in row.key else 0) for row in rows]

    monkeypatch.setattr(Models, "read_back", read_back)
    tokenizer = tmp_path / "tokenizer"
    tokenizer.mkdir()
    for name in ("model.safetensors", "config.json"):
        (tokenizer / name).write_text("{}")
    return replace(
        config, shard_documents=1, noise=NoiseConfig(speech_tokenizer=tokenizer, max_wer=0.5, max_quarantined_share=0.2)
    )


def test_speech_that_could_not_be_measured_is_set_aside_too(noisy, engine, monkeypatch):
    heard = Models.read_back

    def read_back(loaded: Models, sample: SpanSample, *, shard: str) -> list[NoiseRow]:
        return [row for row in heard(loaded, sample, shard=shard) if "wiki-6" not in row.key]

    monkeypatch.setattr(Models, "read_back", read_back)
    made = run(noisy, "made")
    assert [d.meta["id"] for d in read_documents(made / "quarantine")] == ["wiki-6"]
    assert json.loads((made / "quarantine.jsonl").read_text())["wer"] is None


def test_noisy_shards_are_set_aside_and_listed(noisy, engine):
    made = run(noisy, "made")
    vocabulary = Vocabulary.load(noisy.vocabulary)
    assert {d.meta["id"] for d in read_documents(made / "quarantine", vocabulary=vocabulary)} == {"wiki-6"}
    kept = [d.meta["id"] for d in read_documents(made, vocabulary=vocabulary)]
    assert "wiki-6" not in kept and len(kept) == 6 + 6
    facts = read_manifest(made).facts
    assert (facts["quarantined"]["shards"], facts["documents"], facts["corpora"]["wiki"]["documents"]) == (1, 12, 7)
    (line,) = [json.loads(line) for line in (made / "quarantine.jsonl").read_text().splitlines()]
    assert line["wer"] == 1.0 and line["shard"] == "00002-00001"
    aside = list(read_documents(made / "quarantine", vocabulary=vocabulary))
    assert facts["quarantined"]["documents"] == line["documents"] == len(aside) == 1
    assert line["text_tokens"] + line["speech_tokens"] == sum(len(d.tokens) for d in aside)
    assert "those in quarantine too" in (made / "report.md").read_text()
    assert 0 < facts["noise"]["wer"]["value"] < 1 and (made / "noise.png").stat().st_size > 1000
    assert "| all |" in (made / "report.md").read_text()


def test_too_many_noisy_shards_end_the_job_and_lose_nothing(noisy, engine):
    strict = replace(noisy, noise=replace(noisy.noise, max_wer=1e-9, max_quarantined_share=0.0))
    one = replace(
        strict, corpora={"wiki": replace(strict.corpora["wiki"], path=strict.corpora["wiki"].path / "b.jsonl")}
    )
    with_all = replace(one, shard_documents=4)
    with pytest.raises(
        ValueError,
        match=r"1 of 1 shards have a word error rate above noise.max_wer=1e-09 or none that could be measured \(median",
    ):
        run(with_all, "made")
    assert (noisy.output.with_name("made.tasks") / "task-00000").exists() and not noisy.output.exists()
    raised = replace(with_all, noise=replace(with_all.noise, max_wer=None))
    run(raised, "made", part="finish")
    run(replace(raised, noise=replace(raised.noise, max_quarantined_share=0.9)), "made")


def test_what_the_report_needs_is_looked_for_first(noisy, engine, monkeypatch):
    monkeypatch.setattr(report, "find_spec", lambda name: None if name == "jiwer" else object())
    with pytest.raises(ValueError, match=r"the report needs jiwer; pip install"):
        run(noisy, "made")
    assert engine.spoken == []


def test_another_tokenizers_recogniser_is_refused(noisy, monkeypatch):
    vocabulary = replace(Vocabulary.load(noisy.vocabulary), speech_fingerprint="ours")
    monkeypatch.setattr(build, "read_vocabulary", lambda _: vocabulary)
    monkeypatch.setattr(Vocabulary, "load", lambda _: vocabulary)
    with pytest.raises(ValueError, match=r"noise.speech_tokenizer=.* is another speech tokenizer than that of"):
        run(noisy, "made")
