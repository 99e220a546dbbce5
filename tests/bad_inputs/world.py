"""What the rows of the tables find in their folder: one small, whole output of every stage."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import numpy as np
import soundfile
import torch

from megatron_speech.artifacts.manifest import make_artifact
from megatron_speech.checkpoint.hf_import import convert_from_hf
from megatron_speech.commands import printed
from megatron_speech.commands.table import COMMANDS
from megatron_speech.config.stages.build_vocabulary import BuildVocabularyConfig
from megatron_speech.config.stages.convert import ConvertFromHfConfig
from megatron_speech.config.stages.pack_shards import PackShardsConfig
from megatron_speech.config.stages.text_corpus import TextCorpusConfig
from megatron_speech.config.stages.tokenize_text import TokenizeTextConfig
from megatron_speech.data.packing.pack import pack_shards
from megatron_speech.speech_tokenizer.model import save_model
from megatron_speech.text_tokenizer.vocabulary_folder import build_vocabulary
from megatron_speech.tokenize_text.run import tokenize_text
from tests.toy_text_models import text_model
from tests.toys import utterances, write_codes, write_jsonl, write_model
from tests.unit.speech_decoder.toys import write_toy_decoder
from tests.unit.speech_tokenizer.toys import narrowed_config, toy_model, write_toy_audio, write_toy_whisper

CODES = 16
TEXTS = ["The cat sat on the mat.", "It rained all day.", "Ada is tall.", "Bo has a dog."]


def make_world(root: Path) -> Path:
    """Texts, sounds, note.txt, empty/ and one folder per kind of stage output, all in `root`."""
    root.mkdir(exist_ok=True)
    write_jsonl(root / "text.jsonl", *({"id": f"d{n}", "text": text} for n, text in enumerate(TEXTS * 3)))
    write_jsonl(root / "audio.jsonl", {"audio": "a.wav", "text": "x"})
    soundfile.write(root / "a.wav", np.random.default_rng(0).normal(0, 0.1, 16_000), 16_000)
    soundfile.write(root / "silence.wav", np.zeros(16_000), 16_000)
    (root / "note.txt").write_text("A note.\n")
    (root / "marker_of_imports.py").write_text("open('imported', 'w').close()\nThing = print\n")
    (root / "empty").mkdir()
    text_model(root / "text_model", "llama", tied=False)
    write_toy_whisper(root / "whisper")
    write_toy_audio(root / "audio", copies=1)
    with make_artifact(root / "speech_tokenizer", kind="speech_tokenizer", config={}) as draft:
        save_model(toy_model(narrowed_config(max_source_positions=1500)), draft.folder, text_from=root / "whisper")
    metas = [
        {"text": text, "voice": "ada", "source": "corpus", "duration_s": 1.0, "item": f"d{n}"}
        for n, text in enumerate(TEXTS)
    ]
    write_codes(root / "codes", utterances(metas), num_codes=CODES, fingerprint="of_codes")
    _vocabulary(root / "vocabulary", codebook_size=CODES, speech_fingerprint="of_codes")
    _vocabulary(root / "other_vocabulary", codebook_size=CODES + 1, speech_fingerprint="of_others")
    _vocabulary(root / "text_vocabulary", codebook_size=0)
    _tokens(root, "tokens", vocabulary="vocabulary")
    _tokens(root, "other_tokens", vocabulary="other_vocabulary")
    pack_shards(PackShardsConfig(input=root / "tokens", output=root / "packed", seq_length=16))
    convert_from_hf(
        ConvertFromHfConfig(model=root / "text_model", vocabulary=root / "vocabulary", output=root / "base")
    )
    write_model(root / "model", root / "vocabulary")
    write_toy_decoder(root, codebook_size=CODES, fingerprint="of_codes")
    (root / "assets" / "fetched").mkdir(parents=True)
    with make_artifact(root / "corpus", kind="corpus", config={}):
        pass
    torch.save({"weights": torch.zeros(1)}, root / "pickle.pt")
    np.save(root / "array.npy", np.zeros(4, np.float32))
    return root


def _vocabulary(folder: Path, **settings: object) -> None:
    text = str(folder.with_name("text_model"))
    build_vocabulary(BuildVocabularyConfig(output=folder, text=text, padding_multiple=64, **settings))


def _tokens(root: Path, name: str, *, vocabulary: str) -> None:
    corpora = {"a": TextCorpusConfig(path=root / "text.jsonl")}
    tokenize_text(TokenizeTextConfig(corpora=corpora, vocabulary=root / vocabulary, output=root / name))


def import_what_tools_import() -> None:
    """Import all that the commands import when they run, so that forks of this process need not."""
    for command in COMMANDS.values():
        command.load()
    for node in ast.walk(ast.parse(Path(printed.__file__).read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("megatron_speech."):
            found = importlib.import_module(node.module or "")
            for alias in node.names:
                if not hasattr(found, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")
