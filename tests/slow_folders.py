"""Folders in which a command has something slow to do; `tests.slow_inputs` names one for each command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from megatron_speech.data.shards.document import TokenDocument
from tests.toys import write_codes, write_jsonl


def several_recordings() -> None:
    write_jsonl(Path("four.jsonl"), *({"audio": "a.wav", "text": "x", "id": f"u{n}"} for n in range(4)))


def packages() -> None:
    """Packages that are fetched, as far as their markers tell."""
    from megatron_speech.miniature.catalogue import CATALOGUE

    for pin in CATALOGUE:
        marker = pin.marker(Path("empty"))
        marker.parent.mkdir(exist_ok=True)
        marker.write_text(pin.sha256)


def articles() -> None:
    from megatron_speech.miniature import corpus
    from megatron_speech.miniature.wikipedia import Article

    def read_articles(assets: Path) -> Iterator[Article]:
        for number in range(4):
            text = f"Text {number}."
            yield Article(title=f"t{number}", topic="topic", description="", text=text, sentences=(text,))

    packages()
    changed: Any = corpus
    changed.read_articles, changed.read_countries = read_articles, lambda assets: []
    changed.groups_of, changed.cloze_documents = (lambda countries: {}), (lambda articles, most: [])


def days() -> None:
    from megatron_speech.miniature import prose

    def read_days(assets: Path) -> Iterator[dict[str, Any]]:
        for number in range(4):
            yield {"id": f"d{number}", "text": "It rained.", "metadata": {}}

    packages()
    changed: Any = prose
    changed.read_days = read_days
    changed.CORPORA = {
        name: (package, lambda assets: changed.read_days(assets)) for name, (package, _) in prose.CORPORA.items()
    }


def models() -> None:
    from megatron_speech.artifacts.facts.miniature import AssetFacts
    from megatron_speech.miniature import unpack

    changed: Any = unpack
    changed.recipes_of = lambda of: [unpack.Recipe(f"model{n}", (), lambda *_: AssetFacts()) for n in range(4)]


def nothing_fetched() -> None:
    from megatron_speech.miniature import fetch

    changed: Any = fetch
    changed._fetch = lambda pin, assets: None  # noqa: SLF001


def people() -> None:
    from megatron_speech.audio.shards import AudioRecord
    from megatron_speech.miniature import speak

    def read_recordings(assets: Path, **limits: float) -> Iterator[AudioRecord]:
        for number in range(4):
            wave = np.zeros(1600, np.float32)
            yield AudioRecord(key=f"u{number}", waveform=wave, text="x", meta={"voice": "ada"})

    changed: Any = speak
    changed.read_recordings = read_recordings


def codes_of_audio() -> None:
    """Codes of the world's audio, of any tokenizer."""
    from megatron_speech.audio.shards import read_audio_shards
    from megatron_speech.data.shards.document import TokenDocument
    from megatron_speech.speech_decoder.training import run

    def codes() -> Iterator[TokenDocument]:
        for record in read_audio_shards(Path("audio")):
            number = max(1, round(len(record.waveform) / 1280))
            yield TokenDocument(key=record.key, tokens=np.zeros(number, np.int32), meta={"text": record.text})

    write_codes(Path("codes_of_audio"), codes(), num_codes=16, fingerprint="of_codes")
    changed: Any = run
    changed.start_from_codebook = lambda *where: None


def codes_of_any_tokenizer() -> None:
    """Codes of the world's audio, and a causal decoder for whatever made them."""
    from megatron_speech.speech_decoder.folder import DecoderIdentity
    from megatron_speech.speech_decoder.training import causal_run, sources, start

    codes_of_audio()
    made: Any = DecoderIdentity(codebook_size=16, frame_rate=12.5, speech_fingerprint="of_codes")
    changed: Any = causal_run
    changed.require_identity = lambda config: made
    changed = sources
    changed.require_identity = lambda config: made
    changed = start
    changed.start_from_codebook = lambda *where: None


def a_decoder() -> None:
    """A speech decoder that says nothing, and no judges."""
    from megatron_speech.artifacts.facts.codes import SpeechCodes
    from megatron_speech.artifacts.facts.evaluation import HeardFacts
    from megatron_speech.artifacts.manifest import make_artifact
    from megatron_speech.artifacts.plain_json import to_json
    from megatron_speech.evaluation.speech import resynthesis
    from megatron_speech.speech_decoder import table

    codes_of_audio()
    with make_artifact(Path("silent_decoder"), kind="speech_decoder", config={}):
        pass
    Path("silent_vocoder").mkdir()
    Path("silent_vocoder/model.safetensors").touch()
    facts = SimpleNamespace(sample_rate=16_000, speech_fingerprint="of_codes")
    decoder = SimpleNamespace(facts=facts, decode=lambda codes, *speaking: np.zeros(1280 * len(codes), np.float32))
    heard = HeardFacts(wer=0.0, cer=0.0, words=1, dnsmos=3.0)
    changed: Any = resynthesis
    changed.load_speech_decoder = lambda *folders: decoder
    changed._judge = lambda *args: (heard, heard)  # noqa: SLF001
    changed.decoder = decoder
    changed = table
    changed.load_speech_decoder = lambda *folders: decoder
    made = SpeechCodes(codes=(1, 2), frame_rate=12.5, codebook_size=16, speech_fingerprint="of_codes")
    Path("codes.json").write_text(to_json(made.to_json()))


def spoken_pairs() -> None:
    from megatron_speech.artifacts.manifest import make_artifact
    from megatron_speech.config.stages.pack_shards import PackShardsConfig
    from megatron_speech.data.packing.pack import pack_shards
    from megatron_speech.data.shards.document import TokenDocument
    from megatron_speech.data.shards.documents import write_documents
    from megatron_speech.vocabulary import Vocabulary

    vocabulary = Vocabulary.load(Path("vocabulary"))
    tokens = np.array([1, 2, 3, *vocabulary.speech_ids[:8]], np.int32)
    pairs = [TokenDocument(key=f"u{n}", tokens=tokens, target_start=3) for n in range(40)]
    with make_artifact(Path("pairs"), kind="documents", config={}) as draft:
        draft.facts = write_documents(draft.folder, pairs, vocabulary=vocabulary, name="pairs")
    pack_shards(PackShardsConfig(input=Path("pairs"), output=Path("packed_pairs"), seq_length=16))


def a_voice() -> None:
    from megatron_speech.miniature import sample_data
    from megatron_speech.miniature.utterances import PlannedUtterance

    said = [PlannedUtterance(key=f"u{n}", text="x", voice="hibari", speed=1.0, seed=0, meta={}) for n in range(4)]
    changed: Any = sample_data
    changed.voice = SimpleNamespace(speak=lambda text, **how: np.zeros(1600, np.float32))
    changed.open_voice = lambda name, assets: changed.voice
    changed._plans = lambda assets, corpus: {"recordings": said}  # noqa: SLF001
    for name in ("fetch_assets", "prepare_corpus", "_write_texts", "_write_evaluation_texts"):
        setattr(sample_data, name, lambda *args: Path("out.partial/corpus").mkdir(parents=True, exist_ok=True))


def geo_questions() -> None:
    """Four questions on capitals, in writing and aloud."""
    names = ("Ada", "Bo", "Cy", "Di")
    about = [{"country": name, "group": "spoken", "answer": name, "candidates": list(names)} for name in names]
    write_jsonl(
        Path("questions.jsonl"), *({"id": each["country"], "text": "Who is", "metadata": each} for each in about)
    )

    def codes() -> Iterator[TokenDocument]:
        for number, name in enumerate(names):
            yield TokenDocument(key=name, tokens=np.full(3, number, np.int32), meta={"country": name, "reading": 0})

    write_codes(Path("codes_of_questions"), codes(), num_codes=16, fingerprint="of_codes")


def spoken_questions() -> None:
    write_jsonl(Path("questions.jsonl"), {"index": 0, "audio_path": "0.wav", "audio_content": "Who?", "answer": "Ada"})


def a_judge() -> None:
    """Answers to questions, and a judge that is there."""
    from megatron_speech.artifacts.manifest import make_artifact
    from megatron_speech.evaluation.judging import endpoint

    with make_artifact(Path("ev"), kind="evaluation", config={}) as draft:
        shared = {
            "evaluation_task": "questions",
            "task": "qa",
            "pair": "text->text",
            "subset": "",
            "accepted": ["Ada"],
            "answer": "Ada",
            "reason": None,
        }
        write_jsonl(
            draft.folder / "items.jsonl", *({**shared, "item": f"q{n}", "question": f"Who is {n}?"} for n in range(4))
        )
        (draft.folder / "protocol.json").write_text('{"questions": {"code": "c"}}')
    changed: Any = endpoint.Endpoint
    changed._sent = lambda self, body: endpoint.Reply(text="right", model="m")  # noqa: SLF001
