"""The Python of the pages runs as printed, and what it writes is read by the commands that the pages name."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from megatron_speech.audio.importing import import_speech
from megatron_speech.audio.shards import read_audio_shards
from megatron_speech.config.stages.build_vocabulary import BuildVocabularyConfig
from megatron_speech.config.stages.evaluate import SpokenCorpusConfig
from megatron_speech.config.stages.import_speech import ImportSpeechConfig
from megatron_speech.config.stages.pack_shards import PackShardsConfig
from megatron_speech.config.stages.text_corpus import TextCorpusConfig
from megatron_speech.config.stages.tokenize_text import TokenizeTextConfig
from megatron_speech.data.packing.pack import pack_shards
from megatron_speech.data.shards.document import TokenDocument
from megatron_speech.data.shards.sidecar import ShardIndex
from megatron_speech.evaluation.tasks.cloze import read_cloze
from megatron_speech.text_tokenizer.vocabulary_folder import build_vocabulary
from megatron_speech.tokenize_text.run import tokenize_text
from megatron_speech.vocabulary import Vocabulary
from tests.pages.page import PAGES, ROOT, Page
from tests.toys import write_codes, write_jsonl

LIBRARY = ROOT / "megatron_speech"


def run_block(page: Path) -> None:
    """Run the only Python of a page in the folder of the test."""
    (block,) = (block for block in Page(page).blocks if block.language == "python")
    exec(compile(block.text, str(page), "exec"), {})


@pytest.fixture
def packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two texts as bytes, in a row of 32."""
    monkeypatch.chdir(tmp_path)
    texts = write_jsonl(
        tmp_path / "texts.jsonl", {"id": "a", "text": "Hello, row"}, {"id": "b", "text": "and good day"}
    )
    build_vocabulary(BuildVocabularyConfig(output=Path("vocabulary"), codebook_size=8, speech_fingerprint="tokenizer"))
    corpora = {"texts": TextCorpusConfig(path=texts)}
    tokenize_text(TokenizeTextConfig(corpora=corpora, vocabulary=Path("vocabulary"), output=Path("documents")))
    pack_shards(PackShardsConfig(input=Path("documents"), output=Path("packed/text"), seq_length=32))
    return Path("packed/text")


def speak(*paths: Path) -> None:
    """Write a second of sound to every path, each at another pitch."""
    for number, path in enumerate(paths, start=3):
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.4 * np.sin(np.arange(16000) / number), 16000)


def test_every_page_with_python_is_tested() -> None:
    here, elsewhere = ("audio", "data", "evaluation"), {".": "test_seams.py", "inference": "inference/test_page.py"}
    elsewhere["../examples/own_data"] = "../end_to_end/test_own_data.py"
    for test in elsewhere.values():
        assert '"README.md"' in (ROOT / "tests" / "unit" / test).read_text()
    rooms = {os.path.relpath(page.path.parent, LIBRARY) for page in PAGES if "```python" in page.text}
    assert rooms == {*here, *elsewhere}


def test_a_row_is_read_from_a_shard(packed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_block(LIBRARY / "data" / "README.md")
    shown = capsys.readouterr().out
    assert "'Hello, row" in shown and "'and good day" in shown


def test_the_index_of_a_shard_has_the_bytes_that_the_page_says(packed: Path) -> None:
    (path,) = packed.glob("*.mspx")
    index = ShardIndex.load(packed, path.with_suffix(".tar").name)
    blocks, members = index.members.shape
    assert path.stat().st_size == 232 + 24 * members + 24 * blocks + 24 * blocks * members + 16
    for part, size in (("header", "232"), ("names", "24 x M"), ("counts", "24 x B"), ("checksum", "16")):
        assert any(f"| {part}" in line and f"| {size} |" in line for line in (LIBRARY / "data/README.md").open())


def test_recordings_of_several_voices_become_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recordings = [Path("recordings", name) for name in ("ada/1.wav", "bob/1.wav")]
    speak(*recordings)
    for path in recordings:
        path.with_suffix(".txt").write_text(f"I am {path.parent}\n")
    run_block(LIBRARY / "audio" / "README.md")
    import_speech(ImportSpeechConfig(table=Path("speech.csv"), output=Path("audio")))
    records = list(read_audio_shards(Path("audio")))
    assert [record.meta["voice" if "voice" in record.meta else "speaker"] for record in records] == ["ada", "bob"]
    assert records[0].text == "I am recordings/ada"


def test_questions_of_ones_own_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_block(LIBRARY / "evaluation" / "README.md")
    parts = ("context", "ending", "random_ending", "same_topic_ending")
    speak(*(Path("wav", f"rain-{part}.wav") for part in parts))
    config = ImportSpeechConfig(table=Path("cloze.csv"), metadata=("part",), output=Path("audio/cloze"))
    import_speech(config)
    records = list(read_audio_shards(Path("audio/cloze")))
    assert {record.meta["part"] for record in records} == set(parts)
    documents = [
        TokenDocument(key=record.key, tokens=np.array([number], np.int32), meta=json.loads(json.dumps(record.meta)))
        for number, record in enumerate(records)
    ]
    codes = write_codes(tmp_path / "codes", documents, num_codes=8, fingerprint="tokenizer")
    vocabulary = Vocabulary(num_text_ids=257, num_speech_ids=8, speech_fingerprint="tokenizer")
    (item,) = read_cloze(SpokenCorpusConfig(texts=Path("cloze.jsonl"), codes=codes), vocabulary)
    assert item.context.text == "It rained all night." and item.ending.text == "The street was wet."
    assert sorted(item.false_endings) == ["random_ending", "same_topic_ending"]
