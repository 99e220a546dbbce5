"""Answers on the terminal: the tokens of the bulk path, piece by piece, as text or as a sound file."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from megatron_speech.audio.io import read_speech
from megatron_speech.chat.partner import Partner, Question
from megatron_speech.chat.terminal import talk
from megatron_speech.inference.decoder import Decoder
from megatron_speech.inference.generate import Request, generate_tokens
from megatron_speech.inference.model import LanguageModel
from megatron_speech.inference.sampling import Sampling, allowed_ids
from megatron_speech.speech_decoder.table import load_speech_decoder
from megatron_speech.speech_tokenizer.corpus.windows import encode_recording
from megatron_speech.speech_tokenizer.table import load_speech_tokenizer
from megatron_speech.vocabulary import BEGIN_OF_AUDIO, END_OF_AUDIO
from tests.unit.chat.conftest import World, save_tokenizer


def bulk(world: World, prompt: list[int], modality: Any, *, seed: int = 0) -> list[int]:
    """What the bulk path writes after a prompt."""
    model = LanguageModel.load(world.model)
    stop = model.vocabulary.special_id(END_OF_AUDIO) if modality == "speech" else model.vocabulary.end_of_document
    ((_, made),) = generate_tokens(
        model,
        [Request(prompt=prompt, max_new_tokens=12, seed=seed)],
        sampling=Sampling(temperature=0.8, top_p=0.95),
        stop=[stop],
        allowed=allowed_ids(model.vocabulary, modality),
    )
    return made.tokens


def decoded(tokens: list[int]) -> str:
    """Whole characters of bytes."""
    return bytes(tokens).decode(errors="replace").rstrip("\ufffd")


def test_a_prompt_is_continued_as_in_bulk(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    talk(world.settings(prompt="Hello"))
    assert capsys.readouterr().out == decoded(bulk(world, list(b"Hello"), "text")) + "\n"
    talk(world.settings(prompt="Hello", seed=3))
    assert capsys.readouterr().out == decoded(bulk(world, list(b"Hello"), "text", seed=3)) + "\n"


def test_pieces_are_whole_characters_and_come_as_they_are_made(world: World) -> None:
    tokenizer = LanguageModel.load(world.model).tokenizer
    text, read = "naïve ☃ 你好", []
    ids = (read.append(byte) or byte for byte in text.encode())
    seen = [(piece, len(read)) for piece in tokenizer.decode_stream(ids)]
    assert [piece for piece, _ in seen] == list(text)
    ends = np.cumsum([len(character.encode()) for character in text]).tolist()
    assert [count for _, count in seen] == ends, "each is given before the next byte is asked for"


def test_a_recording_of_any_rate_is_continued_in_text(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    talk(world.settings(audio=world.question))
    model = LanguageModel.load(world.model)
    codes = encode_recording(load_speech_tokenizer(world.speech_tokenizer), read_speech(world.question), name="q")
    assert len(codes) == 19, "1.5 s at 12.5 codes per second"
    begin, end = (model.vocabulary.special_id(token) for token in (BEGIN_OF_AUDIO, END_OF_AUDIO))
    prompt = [begin, *(codes + model.vocabulary.first_speech_id).tolist(), end]
    assert capsys.readouterr().out == decoded(bulk(world, prompt, "text")) + "\n"


def test_an_answer_is_spoken_into_a_file(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    talk(world.settings(prompt="Hello", speak=tmp_path / "answer.wav"))
    vocabulary = LanguageModel.load(world.model).vocabulary
    tokens = bulk(world, [*b"Hello", vocabulary.special_id(BEGIN_OF_AUDIO)], "speech")
    codes = np.array(tokens, np.int32) - vocabulary.first_speech_id
    expected = load_speech_decoder(world.speech_decoder, world.vocoder).decode(codes)
    waveform, rate = soundfile.read(tmp_path / "answer.wav", dtype="float32")
    assert rate == 22050 and np.abs(waveform - expected).max() < 1e-4
    assert capsys.readouterr().out == f"{tmp_path / 'answer.wav'}: {len(waveform) / rate:.1f} s of speech\n"
    assert [path.name for path in tmp_path.iterdir()] == ["answer.wav"]


def test_on_a_terminal_speech_is_a_running_count(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    talk(world.settings(prompt="Hello", speak=tmp_path / "answer.wav"))
    shown = capsys.readouterr().err
    counts = re.findall(r"\r([\d.]+) s of speech", shown)
    assert counts == [f"{n / 12.5:.1f}" for n in range(1, len(counts) + 1)] and len(counts) > 1


def converse(world: World, monkeypatch: pytest.MonkeyPatch, text: str, **changes: object) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    talk(world.settings(interactive=True, **changes))


def test_a_conversation_answers_line_by_line(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wav = tmp_path / "answer.wav"
    lines = f"Hello\n\n:speak {wav}\nHello\n:audio {world.question}\n:sing\n:audio nowhere.wav\nHello\n:quit\nBye\n"
    converse(world, monkeypatch, lines)
    shown = capsys.readouterr()
    text = decoded(bulk(world, list(b"Hello"), "text")) + "\n"
    assert shown.out.startswith(f"{text}{wav}: ") and shown.out.endswith(text) and wav.is_file()
    assert shown.out.count(text) == 2, "what follows :quit is not read"
    assert "error: :sing: no such command; use :audio FILE, :speak FILE or :quit\n" in shown.err
    assert "error: nowhere.wav: no such audio file; correct the path\n" in shown.err


def test_every_line_begins_anew_in_the_same_slot(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[tuple[int, int]] = []
    append = Decoder.append

    def watched(decoder: Decoder, pieces: Any, **options: Any) -> Any:
        begun.extend((piece.slot, len(piece.tokens)) for piece in pieces if piece.start == 0)
        return append(decoder, pieces, **options)

    monkeypatch.setattr(Decoder, "append", watched)
    converse(world, monkeypatch, "Hello\nHello again\nBye\n")
    assert begun == [(0, 5), (0, 11), (0, 3)], "each prompt is read in one pass, as in bulk"


def test_ctrl_c_ends_an_answer_and_not_the_conversation(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = Partner.tokens

    def interrupted(partner: Partner, question: Question, asked: Any) -> Iterator[int]:
        for number, token in enumerate(whole(partner, question, asked)):
            if question.ids[0] == ord("A") and number == 2:
                raise KeyboardInterrupt
            yield token

    monkeypatch.setattr(Partner, "tokens", interrupted)
    converse(world, monkeypatch, "A\nHello\n")
    shown = capsys.readouterr()
    assert "(stopped)" in shown.err
    assert shown.out.endswith(decoded(bulk(world, list(b"Hello"), "text")) + "\n")


def test_prompts_from_a_pipe_are_answered_line_by_line(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("Hello\n\nBye\n"))
    talk(world.settings())
    answers = [decoded(bulk(world, list(prompt), "text")) for prompt in (b"Hello", b"Bye")]
    assert capsys.readouterr().out == "".join(f"{answer}\n" for answer in answers)


def test_nothing_to_answer_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    with pytest.raises(ValueError, match=r"^nothing to answer: give prompt, audio or codes, or interactive"):
        talk(world.settings())


def test_a_prompt_longer_than_the_model_is_refused(world: World) -> None:
    talk(world.settings(prompt="x" * 116))
    message = (
        r"^a prompt of 117 tokens and max_new_tokens=12 exceed the 128 positions of \S+hf; shorten the prompt, or lower"
    )
    with pytest.raises(ValueError, match=message):
        talk(world.settings(prompt="x" * 117))


@pytest.mark.parametrize(
    ("samples", "says"),
    [
        (np.zeros(16_000), r"silent\.wav: no sound above -60 decibels of full scale; record it again"),
        (np.zeros(0), r"silent\.wav: no samples; leave it out"),
        (np.full(100, 0.5), r"silent\.wav: 0\.0063 s hold no speech; record more"),
    ],
)
def test_what_holds_no_speech_is_refused_before_the_model_is_loaded(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, samples: np.ndarray, says: str
) -> None:
    monkeypatch.setattr(Partner, "load", None)
    soundfile.write(tmp_path / "silent.wav", samples, 16_000)
    with pytest.raises(ValueError, match=says):
        talk(world.settings(audio=tmp_path / "silent.wav"))
    (tmp_path / "note.wav").write_text("A note.")
    with pytest.raises(ValueError, match=r"note\.wav: not readable as audio"):
        talk(world.settings(audio=tmp_path / "note.wav"))


def test_a_tokenizer_or_decoder_of_another_vocabulary_is_refused(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("megatron_speech.chat.partner.loaded_model", None)
    save_tokenizer(tmp_path / "other", quantize_vocab_size=8)
    with pytest.raises(ValueError, match=r"^speech_tokenizer=\S+other: its fingerprint \w{12} is not that of \S+hf"):
        talk(world.settings(prompt="Hello", speech_tokenizer=tmp_path / "other"))
    config = (world.speech_decoder / "config.json").read_text()
    other = tmp_path / "decoder"
    other.mkdir()
    (other / "model.safetensors").write_bytes((world.speech_decoder / "model.safetensors").read_bytes())
    fingerprint = config.split('"speech_fingerprint": "')[1][:64]
    (other / "config.json").write_text(config.replace(fingerprint, "0" * 64))
    with pytest.raises(ValueError, match=r"hf: made by speech tokenizer \w{12}, but .* was trained with 000"):
        talk(world.settings(prompt="Hello", speech_decoder=other, speak=tmp_path / "answer.wav"))


def test_a_conversation_names_what_a_line_needs(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    none = {"speech_tokenizer": None, "speech_decoder": None, "vocoder": None}
    converse(world, monkeypatch, f":audio {world.question}\n:speak answer.wav\n:speak answer.mp3\n", **none)
    assert capsys.readouterr().err.splitlines()[-3:] == [
        f"error: audio={world.question} needs a speech tokenizer; give its folder as speech_tokenizer",
        "error: speak=answer.wav needs a speech decoder and its vocoder; give their folders as speech_decoder and "
        "vocoder",
        "error: speak=answer.mp3: audio is written as .wav or .flac; choose one of these endings",
    ]


def test_a_folder_that_is_missing_is_named_before_the_answer(world: World, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"the folder \S+nowhere does not exist; make it first"):
        talk(world.settings(prompt="Hello", speak=tmp_path / "nowhere" / "answer.wav"))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"prompt": " "}, "prompt=' ' is empty; write a text to continue"),
        ({"prompt": "a", "audio": Path("a.wav")}, "prompt and audio exclude each other; keep one"),
        ({"prompt": "a", "interactive": True}, "prompt and interactive exclude each other; keep one"),
        ({"codes": Path("codes")}, "codes and output belong together"),
        ({"audio": Path("a.wav"), "speech_tokenizer": None}, "audio=a.wav needs the speech tokenizer; give its folder"),
        ({"speech_decoder": None}, "speech_decoder and vocoder belong together; give both, or neither"),
        (
            {"speak": Path("a.wav"), "speech_decoder": None, "vocoder": None},
            "speak=a.wav needs the speech decoder; give the folders",
        ),
        ({"speak": Path("a.mp3")}, "speak=a.mp3: audio is written as .wav or .flac"),
        ({"max_new_tokens": 0}, "max_new_tokens=0 must be at least 1"),
        ({"seed": -1}, "seed=-1 must lie in 0 to"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(world: World, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError) as raised:
        replace(world.settings(), **changes)
    assert str(raised.value).startswith(says)
