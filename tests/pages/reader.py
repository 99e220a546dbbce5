"""The folder of a reader who has come to where a page's command is printed: small, but all of it real."""

from __future__ import annotations

import contextlib
import random
import shutil
import sys
from pathlib import Path

import numpy as np
import soundfile

from megatron_speech.config.stages.build_vocabulary import BuildVocabularyConfig
from megatron_speech.config.stages.pack_shards import PackShardsConfig
from megatron_speech.config.stages.text_corpus import TextCorpusConfig
from megatron_speech.config.stages.tokenize_text import TokenizeTextConfig
from megatron_speech.data.packing.pack import pack_shards
from megatron_speech.examples.steps.own_data import FILES
from megatron_speech.text_tokenizer.vocabulary_folder import build_vocabulary
from megatron_speech.tokenize_text.run import tokenize_text
from tests.pages.page import FOLDERS, ROOT, Page
from tests.toy_evaluations import credits, evaluation
from tests.toys import write_jsonl

PARTS = ("context", "ending", "random_ending", "same_topic_ending")


def make_reader(folder: Path) -> Path:
    """What commands of the pages read that need no model, in `folder`."""
    folder.mkdir()
    for name in FOLDERS:
        (folder / name).symlink_to(ROOT / name)
    (folder / "slurm").unlink()
    shutil.copytree(ROOT / "slurm", folder / "slurm")
    with contextlib.chdir(folder):
        _program()
        _recordings()
        _texts()
        for name in ("before", "after"):
            evaluation(Path("evaluation", name), {"text->text": credits(0.7, seed=len(name))})
    return folder


def _program() -> None:
    program = Path("bin/megatron-speech")
    program.parent.mkdir()
    program.write_text(f'#!/bin/bash\nexec {sys.executable} -m megatron_speech.commands "$@"\n')
    program.chmod(0o755)


def _recordings() -> None:
    tree = Path("LibriSpeech/train-clean-100/19/198")
    evaluation_page = Page(ROOT / "megatron_speech" / "evaluation" / "README.md")
    (block,) = (block for block in evaluation_page.blocks if block.language == "python")
    exec(compile(block.text, str(evaluation_page), "exec"), {})
    sounds = ["question.wav", str(tree / "19-198-0000.flac"), *(f"wav/rain-{part}.wav" for part in PARTS)]
    for number, name in enumerate(sounds, start=3):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(name, 0.4 * np.sin(np.arange(24_000) / number), 16_000)
    (tree / "19-198.trans.txt").write_text("19-198-0000 IT RAINED ALL NIGHT\n")
    write_jsonl(Path("speech.jsonl"), {"audio": "question.wav", "text": "Is it raining?", "voice": "ada"})
    for name in FILES:
        Path("mydata", name).parent.mkdir(parents=True, exist_ok=True)
        Path("mydata", name).touch()


def _texts() -> None:
    """5,000 invented words, as a corpus, as documents and as rows."""
    drawn = random.Random(0)
    words = ["".join(drawn.choices("abcdefghijklmnop", k=drawn.randint(2, 9))) for _ in range(5_000)]
    lines = [{"id": f"d{n}", "text": " ".join(words[n : n + 50])} for n in range(0, len(words), 50)]
    texts = write_jsonl(Path("text/train.jsonl"), *lines)
    vocabulary = Path("vocabulary")
    build_vocabulary(BuildVocabularyConfig(output=vocabulary, codebook_size=16, speech_fingerprint="tokenizer"))
    shutil.copytree("vocabulary", "runs/small/vocabulary")
    corpora = {"texts": TextCorpusConfig(path=texts)}
    for name in ("text", "interleaved"):
        output = Path("documents", name)
        tokenize_text(TokenizeTextConfig(corpora=corpora, vocabulary=vocabulary, output=output, name=name))
        pack_shards(PackShardsConfig(input=output, output=Path("packed", name), seq_length=512, name=name))
