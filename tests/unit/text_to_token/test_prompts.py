"""Prompts and training documents: speakers, spellings, text tokenizers, refusals."""

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from megatron_speech.config.stages.build_vocabulary import BuildVocabularyConfig
from megatron_speech.text_to_token import prompts
from megatron_speech.text_to_token.prompts import prompt, training_document
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from megatron_speech.text_tokenizer.vocabulary_folder import build_vocabulary
from megatron_speech.vocabulary import BEGIN_OF_AUDIO, SYNTHESIZE, Vocabulary

CODES = np.array([3, 1, 4], dtype=np.int32)


def _vocabulary(folder: Path, **settings) -> tuple[TextTokenizer, Vocabulary]:
    build_vocabulary(BuildVocabularyConfig(output=folder, codebook_size=16, speech_fingerprint="abc", **settings))
    return TextTokenizer.load(folder), Vocabulary.load(folder)


def _words(folder: Path) -> Path:
    """A Hugging Face folder whose tokenizer knows a few words."""
    words = {"[UNK]": 0, "</s>": 1, "two": 2, "cats": 3, ".": 4}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["</s>"])
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def test_the_text_may_be_that_of_a_hugging_face_tokenizer(tmp_path: Path) -> None:
    text = _words(tmp_path / "base")
    settings = {"end_of_document": "</s>", "max_lost_share": 1.0}  # it knows three words
    tokenizer, vocabulary = _vocabulary(tmp_path / "vocabulary", text=str(text), **settings)
    ends = vocabulary.special_id(SYNTHESIZE), vocabulary.special_id(BEGIN_OF_AUDIO)
    assert prompt("two Cats.", tokenizer=tokenizer, vocabulary=vocabulary) == [ends[0], 2, 3, 4, ends[1]]


def test_a_speaker_stands_before_the_text_in_documents_and_prompts(tmp_path: Path) -> None:
    tokenizer, vocabulary = _vocabulary(tmp_path / "vocabulary", speakers=["ann", "bob.2"])
    assert vocabulary.speakers == ("ann", "bob.2")
    ids = {
        name: prompt("Hi.", tokenizer=tokenizer, vocabulary=vocabulary, speaker=name) for name in vocabulary.speakers
    }
    assert tokenizer.decode(ids["bob.2"]) == "<|synthesize|><|speaker:bob.2|>hi.<|begin_of_audio|>"
    assert [a == b for a, b in zip(*ids.values(), strict=True)] == [True, False, True, True, True, True]
    document = training_document(
        "a", "Hi.", CODES, tokenizer=tokenizer, vocabulary=vocabulary, meta={}, speaker="bob.2"
    )
    assert document.tokens[: document.target_start].tolist() == ids["bob.2"]


@pytest.mark.parametrize(
    ("known", "speaker", "said"),
    [
        (["ann"], "bob", "speaker=bob is none of the vocabulary's speakers .ann."),
        (["ann"], None, "speaker=None"),
        ([], "ann", "it has none"),
    ],
)
def test_a_speaker_without_a_token_is_refused(tmp_path: Path, known: list[str], speaker: str | None, said: str) -> None:
    tokenizer, vocabulary = _vocabulary(tmp_path / "vocabulary", speakers=known)
    with pytest.raises(ValueError, match=said):
        prompt("Hi.", tokenizer=tokenizer, vocabulary=vocabulary, speaker=speaker)


def test_sounds_stand_for_the_reading_with_its_capitals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompts, "pronounce", {"US": "ju'Es", ".": ""}.__getitem__)
    tokenizer, vocabulary = _vocabulary(tmp_path / "vocabulary", spelling="sounds", speakers=["ann"])
    ids = prompt("US", tokenizer=tokenizer, vocabulary=vocabulary, speaker="ann")
    assert tokenizer.decode(ids) == "<|synthesize|><|speaker:ann|><|sounds|>ju'Es<|begin_of_audio|>"
    assert prompt(".", tokenizer=tokenizer, vocabulary=vocabulary, speaker="ann") == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"spelling": "sounds", "text": "base"}, "set text: bytes"),
        ({"speakers": ["a b"]}, "'a b' must be of letters"),
        ({"speakers": ["a", "a"]}, "stand once"),
    ],
)
def test_settings_that_contradict_are_refused(settings: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        BuildVocabularyConfig(output=Path("x"), codebook_size=16, **settings)


def test_chinese_keeps_its_letters_and_has_no_sounds(tmp_path: Path) -> None:
    tokenizer, letters = _vocabulary(tmp_path / "letters")
    ids = prompt("五只猫GPT", tokenizer=tokenizer, vocabulary=letters, language="zh")
    assert tokenizer.decode(ids) == "<|synthesize|>五只猫GPT<|begin_of_audio|>"
    tokenizer, sounds = _vocabulary(tmp_path / "sounds", spelling="sounds")
    with pytest.raises(ValueError, match=r"language=zh: .* sounds, which are known for English alone"):
        prompt("五只猫", tokenizer=tokenizer, vocabulary=sounds, language="zh")
