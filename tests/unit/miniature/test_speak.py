"""What is spoken: nothing unspeakable, the same list and the same bytes every time, and after an interruption too."""

from pathlib import Path
from typing import Any

import pytest

from megatron_speech.artifacts.manifest import read_manifest
from megatron_speech.audio.shards import read_audio_shards
from megatron_speech.config.stages.miniature import PrepareCorpusConfig, SpeakCorpusConfig
from megatron_speech.miniature import speak as speak_module
from megatron_speech.miniature.corpus import prepare_corpus, read_jsonl
from megatron_speech.miniature.speak import speak_corpus
from megatron_speech.miniature.utterances import plan_utterances


@pytest.fixture
def corpus(packages: Path, tmp_path: Path) -> Path:
    prepare_corpus(PrepareCorpusConfig(assets=packages, output=tmp_path / "corpus", heldout_share=0.3, cloze_items=20))
    return tmp_path / "corpus"


def settings(corpus: Path, **changes: Any) -> SpeakCorpusConfig:
    base: dict[str, Any] = {"assets": corpus.parent / "assets", "corpus": corpus, "output": corpus.parent / "audio"}
    return SpeakCorpusConfig(**{**base, "part": "train", "utterances": {"hibari": 40}, **changes})


def test_spans_are_runs_of_words_of_their_sentence(corpus: Path) -> None:
    plan = plan_utterances(settings(corpus, utterances={"hibari": 200}, geography_share=0.0), {"hibari": 200})
    texts = {d["id"]: d["metadata"]["sentences"] for d in read_jsonl(corpus / "train.jsonl")}
    spans = 0
    for utterance in plan:
        sentences = texts[utterance.meta["document"]]
        assert any(utterance.text in sentence for sentence in sentences)
        if utterance.text not in sentences:
            spans += 1
            assert 4 <= len(utterance.text.split()) <= 16
    assert 50 < spans < 110  # 0.4 of 200


def test_nothing_unspeakable_is_spoken(corpus: Path) -> None:
    config = settings(corpus, utterances={"hibari": 150}, geography_share=0.5)
    unspeakable = {
        d["id"]
        for part in ("train", "geography")
        for d in read_jsonl(corpus / f"{part}.jsonl")
        if not d["metadata"]["speakable"]
    }
    assert unspeakable
    assert not {utterance.meta["document"] for utterance in plan_utterances(config, config.utterances)} & unspeakable


def test_voices_say_different_sentences_at_different_speeds(corpus: Path) -> None:
    plan = plan_utterances(settings(corpus), {"hibari": 40, "slt": 10})
    assert len({utterance.key for utterance in plan}) == 50
    assert len({utterance.meta["document"] + utterance.text for utterance in plan}) == 50
    speeds = [utterance.speed for utterance in plan]
    assert min(speeds) >= 0.9 and max(speeds) <= 1.15 and len(set(speeds)) > 30


def test_audio_is_the_same_after_an_interruption(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speak_module, "UTTERANCES_PER_SHARD", 10)
    whole = settings(corpus, output=corpus.parent / "whole")
    speak_corpus(whole)
    write_shard, made = speak_module.write_audio_shard, []

    def write_two(path: Path, records: Any) -> dict[str, Any]:
        made.append(path.name)
        if len(made) == 3:
            raise KeyboardInterrupt
        return write_shard(path, records)

    monkeypatch.setattr(speak_module, "write_audio_shard", write_two)
    halted = settings(corpus, output=corpus.parent / "halted")
    with pytest.raises(KeyboardInterrupt):
        speak_corpus(halted)
    assert not halted.output.exists()
    speak_corpus(halted)
    assert made == ["train-000000.tar", "train-000001.tar", "train-000002.tar", "train-000002.tar", "train-000003.tar"]
    assert read_manifest(halted.output).facts == read_manifest(whole.output).facts
    assert len(list(read_audio_shards(halted.output))) == 40
    assert not [path.name for path in halted.output.iterdir() if path.suffix not in (".tar", ".json")]


def test_questions_take_turns_and_are_read_twice(corpus: Path) -> None:
    config = settings(corpus, part="questions", items=6, output=corpus.parent / "questions")
    speak_corpus(config)
    found = list(read_audio_shards(config.output))
    assert len(found) == 12
    group = {d["metadata"]["country"]: d["metadata"]["group"] for d in read_jsonl(corpus / "questions.jsonl")}
    assert [group[r.meta["country"]] for r in found[::2]].count("spoken") == 3
    assert [r.meta["reading"] for r in found] == [0, 1] * 6
    assert len({len(r.waveform) for r in found[:2]}) == 2


def test_cloze_items_are_spoken_whole_or_not_at_all(corpus: Path) -> None:
    config = settings(corpus, part="cloze", items=5, max_characters=300)
    plan = plan_utterances(config, {})
    parts = ["context", "ending", "random_ending", "same_topic_ending"]
    assert [utterance.meta["part"] for utterance in plan] == parts * 5
    assert all(len(utterance.text) <= 300 for utterance in plan)
    with pytest.raises(ValueError, match=r"items=5 asks for more than the 0 cloze items"):
        plan_utterances(settings(corpus, part="cloze", items=5, max_characters=100), {})


def test_a_voice_without_its_package(corpus: Path, caplog: pytest.LogCaptureFixture) -> None:
    speak_corpus(settings(corpus, utterances={"hibari": 4, "slt": 3}))
    assert "left out: 3 utterances of voice slt" in caplog.text
    assert read_manifest(corpus.parent / "audio").facts["voices_left_out"] == ["slt"]
    (corpus.parent / "assets" / "packages" / "hibari" / "__init__.py").unlink()
    with pytest.raises(FileNotFoundError, match="voice hibari needs hibari-tts"):
        speak_corpus(settings(corpus, output=corpus.parent / "more"))


def test_more_than_there_is(corpus: Path) -> None:
    with pytest.raises(ValueError, match=r"asks for more than the \d+ sentences"):
        plan_utterances(settings(corpus), {"hibari": 100_000})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"span_share": 1.5}, r"span_share=1\.5"),
        ({"utterances": {"bob": 3}}, r"utterances\.bob=3 must be a count for one of hibari"),
        ({"utterances": {}}, "asks for no utterance"),
        ({"speeds": (1.2, 0.9)}, "speeds="),
        ({"span_words": (5, 2)}, "span_words="),
        ({"items": 0}, "items=0"),
    ],
)
def test_settings_that_cannot_be(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        settings(tmp_path, **changes)
