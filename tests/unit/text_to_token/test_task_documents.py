"""Code shards to task documents: layout, filters, counts, refusals."""

import json
from pathlib import Path

import pytest

from megatron_speech.artifacts.manifest import read_manifest
from megatron_speech.config.stages.build_vocabulary import BuildVocabularyConfig
from megatron_speech.config.stages.text_to_token import BuildTaskDocumentsConfig, UtterancesConfig
from megatron_speech.data.shards.document import TokenDocument
from megatron_speech.data.shards.documents import read_documents
from megatron_speech.text_to_token.task_documents import build_task_documents
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from megatron_speech.text_tokenizer.vocabulary_folder import build_vocabulary
from megatron_speech.vocabulary import BEGIN_OF_AUDIO, END_OF_AUDIO, RECOGNIZE, SYNTHESIZE, Vocabulary
from tests.toys import utterances, write_codes

UTTERANCES = [
    {"text": "Hello 12 cats.", "voice": "hibari", "source": "corpus", "duration_s": 1.5},
    {"text": "The capital.", "voice": "flite_slt", "source": "geography", "duration_s": 1.0},
    {"text": "A long one.", "voice": "hibari", "source": "corpus", "duration_s": 30.0},
    {"voice": "hibari", "source": "human", "duration_s": 1.0},
    {"text": "...", "voice": "hibari", "source": "corpus", "duration_s": 1.0},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folders codes/ and vocabulary/."""
    write_codes(tmp_path / "codes", utterances(UTTERANCES), num_codes=16, fingerprint="abc")
    build_vocabulary(
        BuildVocabularyConfig(output=tmp_path / "vocabulary", text="bytes", codebook_size=16, speech_fingerprint="abc")
    )
    return tmp_path


def _build(folder: Path, task: str, **utterances) -> list[TokenDocument]:
    config = BuildTaskDocumentsConfig(
        task=task,
        codes=[folder / "codes"],
        vocabulary=folder / "vocabulary",
        output=folder / task,
        utterances=UtterancesConfig(**utterances),
    )
    build_task_documents(config)
    build_task_documents(config)  # done already: nothing happens
    return list(read_documents(folder / task, vocabulary=Vocabulary.load(folder / "vocabulary")))


def test_recognition_ends_with_the_written_text(folder: Path) -> None:
    vocabulary, tokenizer = Vocabulary.load(folder / "vocabulary"), TextTokenizer.load(folder / "vocabulary")
    document = _build(folder, "recognition")[0]
    speech = [vocabulary.speech_id(code) for code in range(5)]
    ids = [vocabulary.special_id(token) for token in (RECOGNIZE, BEGIN_OF_AUDIO, END_OF_AUDIO)]
    assert document.tokens[: document.target_start].tolist() == [ids[0], ids[1], *speech, ids[2]]
    assert tokenizer.decode(document.tokens[document.target_start :].tolist()) == "Hello 12 cats."


@pytest.mark.parametrize(("task", "text"), [("synthesis", "Hello 12 cats."), ("text_to_token", "hello twelve cats.")])
def test_synthesis_ends_with_speech(folder: Path, task: str, text: str) -> None:
    vocabulary, tokenizer = Vocabulary.load(folder / "vocabulary"), TextTokenizer.load(folder / "vocabulary")
    document = _build(folder, task)[0]
    prompt = document.tokens[: document.target_start].tolist()
    assert (prompt[0], prompt[-1]) == (vocabulary.special_id(SYNTHESIZE), vocabulary.special_id(BEGIN_OF_AUDIO))
    assert tokenizer.decode(prompt[1:-1]) == text
    target = document.tokens[document.target_start :].tolist()
    assert target == [*(vocabulary.speech_id(code) for code in range(5)), vocabulary.special_id(END_OF_AUDIO)]
    assert document.meta["text"] == "Hello 12 cats." and document.meta["task"] == task


@pytest.mark.parametrize(
    ("filters", "keys"),
    [
        ({}, ["u0", "u1", "u2"]),
        ({"voices": ["hibari"]}, ["u0", "u2"]),
        ({"sources": ["geography"]}, ["u1"]),
        ({"max_duration_s": 5.0}, ["u0", "u1"]),
        ({"max_utterances": 1}, ["u0"]),
        ({"of_first": 2}, ["u0", "u1"]),
        ({"of_first": 2, "voices": ["hibari"], "max_duration_s": 5.0}, ["u0"]),
    ],
)
def test_filters(folder: Path, filters: dict, keys: list[str]) -> None:
    assert [document.key for document in _build(folder, "text_to_token", **filters)] == keys


def test_what_is_left_out_is_counted(folder: Path) -> None:
    _build(folder, "text_to_token", voices=["hibari"])
    facts = read_manifest(folder / "text_to_token").facts
    assert facts["utterances"] == {"read": 5, "filtered_out": 1, "without_text": 1, "unspeakable": 1}
    assert facts["documents"] == 2 and facts["duration_s"] == 31.5


def test_a_text_that_cannot_be_read_for_sure_is_not_learnt_and_is_named(folder: Path) -> None:
    rows = [{"text": text, "duration_s": 1.0} for text in ("Hello 12 cats.", "He scored 3-4-5 today.")]
    write_codes(folder / "more", utterances(rows), num_codes=16, fingerprint="abc")
    (folder / "codes").rename(folder / "old")
    (folder / "more").rename(folder / "codes")
    assert [document.key for document in _build(folder, "text_to_token")] == ["u0"]
    assert read_manifest(folder / "text_to_token").facts["utterances"] == {"read": 2, "unreadable": 1}
    (line,) = (folder / "text_to_token" / "unreadable.jsonl").read_text().splitlines()
    assert json.loads(line)["id"] == "u1" and "3-4-5" in json.loads(line)["why"]
    assert len(_build(folder, "recognition")) == 2


def test_nothing_left_is_an_error_and_leaves_no_folder(folder: Path) -> None:
    with pytest.raises(ValueError, match="no utterance passes the filters"):
        _build(folder, "synthesis", voices=["nobody"])
    assert not (folder / "synthesis").exists()


def test_codes_of_another_speech_tokenizer_are_refused(folder: Path) -> None:
    config = BuildVocabularyConfig(output=folder / "other", text="bytes", codebook_size=16, speech_fingerprint="xyz")
    build_vocabulary(config)
    (folder / "vocabulary").rename(folder / "old")
    (folder / "other").rename(folder / "vocabulary")
    with pytest.raises(ValueError, match="codes of speech tokenizer abc"):
        _build(folder, "synthesis")


def test_a_voice_is_the_speaker_and_must_have_a_token(folder: Path) -> None:
    for name, speakers in (("both", ["hibari", "flite_slt"]), ("one", ["hibari"])):
        config = BuildVocabularyConfig(
            output=folder / name, text="bytes", codebook_size=16, speech_fingerprint="abc", speakers=speakers
        )
        build_vocabulary(config)
    (folder / "vocabulary").rename(folder / "old")
    (folder / "both").rename(folder / "vocabulary")
    tokenizer = TextTokenizer.load(folder / "vocabulary")
    spoken_by = [tokenizer.decode([document.tokens[1]]) for document in _build(folder, "text_to_token")]
    assert spoken_by == ["<|speaker:hibari|>", "<|speaker:flite_slt|>", "<|speaker:hibari|>"]
    (folder / "vocabulary").rename(folder / "both")
    (folder / "one").rename(folder / "vocabulary")
    (folder / "text_to_token").rename(folder / "made")
    with pytest.raises(ValueError, match=r"speaker=flite_slt is none of the vocabulary's speakers .hibari."):
        _build(folder, "text_to_token")
