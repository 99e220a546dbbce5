"""The decoder: equal to transformers', masked, cached without a difference, and never caught in a loop."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from megatron_speech.speech_tokenizer.model import TextSide, save_model
from megatron_speech.speech_tokenizer.recognizer import decode_states, greedy, repeats
from megatron_speech.speech_tokenizer.whisper import WhisperRecognizer
from tests.unit.speech_tokenizer.toys import VOCAB, noise, toy_config, toy_model, write_text_side, write_toy_whisper

PROMPT, END = [257, 258], 256


def search(decoder: torch.nn.Module, memory: torch.Tensor, lengths: torch.Tensor, steps: int = 12) -> list[list[int]]:
    suppress = torch.zeros(VOCAB)
    suppress[END + 1 :] = -torch.inf
    return greedy(
        decoder,
        memory,
        lengths,
        prompt=PROMPT,
        end=END,
        suppress_V=suppress,
        suppress_first_V=torch.zeros(VOCAB),
        max_tokens=steps,
    )


def test_states_match_transformers() -> None:
    decoder = toy_model(toy_config()).decoder
    tokens, memory = torch.randint(0, 256, (2, 9)), torch.randn(2, 15, 32)
    with torch.no_grad():
        expected = decoder(input_ids=tokens, encoder_hidden_states=memory).last_hidden_state
        found = decode_states(decoder, tokens, memory, torch.tensor([15, 15]))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_search_with_cache_matches_search_without() -> None:
    decoder = toy_model(toy_config()).decoder
    memory, lengths = torch.randn(1, 15, 32), torch.tensor([15])
    found = search(decoder, memory, lengths, steps=7)[0]
    tokens = list(PROMPT)
    with torch.no_grad():
        for token in found:
            state = decode_states(decoder, torch.tensor([tokens]), memory, lengths)[0, -1]
            assert int((state @ decoder.embed_tokens.weight[: END + 1].T).argmax()) == token
            tokens.append(token)
    assert found


def test_search_does_not_know_its_batch() -> None:
    decoder = toy_model(toy_config()).decoder
    memory, lengths = torch.randn(3, 15, 32), torch.tensor([15, 4, 9])
    together = search(decoder, memory, lengths)
    for row, length in enumerate(lengths.tolist()):
        assert search(decoder, memory[row : row + 1, :length], lengths[row : row + 1])[0] == together[row]


def test_a_second_round_is_a_loop() -> None:
    round_one = list(range(8))
    assert not repeats(round_one)
    assert not repeats([*round_one, *range(7)])
    assert repeats([*round_one, *round_one])
    assert repeats([*round_one, 99, *round_one])
    assert not repeats([1] * 15)
    assert repeats([1] * 16)


def test_text_with_angle_brackets_stays_text(tmp_path: Path) -> None:
    write_text_side(tmp_path)
    text = TextSide(tmp_path, VOCAB)
    ids = text.encode("<|endoftext|>")
    assert text.end not in ids
    assert text.decode(ids) == "<|endoftext|>"
    assert text.prompt == PROMPT
    assert torch.isinf(text.suppress_V).nonzero().flatten().tolist() == [0, 257, 258]


def test_transcripts_do_not_depend_on_order(tmp_path: Path) -> None:
    recognizer = WhisperRecognizer.load(write_toy_whisper(tmp_path / "whisper"))
    clips = [noise(length, seed) for seed, length in enumerate((9000, 16000, 700))]
    forward = recognizer.transcribe(clips, batch_seconds=5.0)
    assert recognizer.transcribe(clips[::-1], batch_seconds=20.0) == forward[::-1]


@pytest.mark.parametrize(
    ("clip", "rate", "message"),
    [
        (np.zeros(0, np.float32), 16000, "utterance a: no samples; leave it out"),
        (np.zeros(448001, np.float32), 16000, r"utterance a: lasts 28.0001 s, longer than the 28 s .*; cut it"),
        (np.full(100, np.nan, np.float32), 16000, "100 of 100 samples are not finite"),
        (np.zeros((100, 2), np.float32), 16000, "not one channel"),
        (np.zeros(100, np.float32), 8000, "sample_rate=8000"),
    ],
)
def test_bad_audio_is_named(tmp_path: Path, clip: np.ndarray, rate: int, message: str) -> None:
    recognizer = WhisperRecognizer.load(write_toy_whisper(tmp_path / "whisper"))
    with pytest.raises(ValueError, match=message):
        recognizer.transcribe([clip], sample_rate=rate, names=["utterance a"])


def multilingual(folder: Path, *languages: str, **settings: object) -> Path:
    """The toy Whisper with tokens for languages."""
    write_toy_whisper(folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_special_tokens([*(f"<|{name}|>" for name in languages), "<|transcribe|>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    path = folder / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "is_multilingual": True, **settings}))
    return folder


def test_a_multilingual_whisper_is_prompted_for_its_language(tmp_path: Path) -> None:
    folder = multilingual(tmp_path / "many", "en", "de", "yue")
    token = Tokenizer.from_file(str(folder / "tokenizer.json")).token_to_id
    for language, expected in ((None, "en"), ("de", "de"), ("yue", "yue")):
        text = TextSide(folder, VOCAB, language=language)
        assert text.language == expected and text.prompt[1:3] == [token(f"<|{expected}|>"), token("<|transcribe|>")]
    for language in ("xx", "transcribe", "german"):
        with pytest.raises(ValueError, match=rf"language={language}: .*no such language; use one of de, en, yue"):
            TextSide(folder, VOCAB, language=language)
    says = multilingual(tmp_path / "says", "en", "de", language="<|de|>")
    assert TextSide(says, VOCAB).language == "de"
    assert TextSide(says, VOCAB, language="en").language == "en"


def test_an_english_model_takes_english_alone(tmp_path: Path) -> None:
    folder = write_toy_whisper(tmp_path / "whisper")
    assert TextSide(folder, VOCAB, language="en").prompt == TextSide(folder, VOCAB).prompt
    with pytest.raises(ValueError, match=r"language=de: .*holds an English-only model; use en, or a multilingual"):
        WhisperRecognizer.load(folder, language="de")


def test_a_saved_model_says_its_language(tmp_path: Path) -> None:
    folder = multilingual(tmp_path / "many", "en", "de")
    save_model(toy_model(toy_config()), tmp_path / "saved", text_from=folder, language="de")
    assert TextSide(tmp_path / "saved", VOCAB).language == "de"
