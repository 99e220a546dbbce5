"""Evaluation items are found in training data, written or spoken, and nothing else is."""

from __future__ import annotations

import csv
import json
import random
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from megatron_speech.artifacts.manifest import make_artifact
from megatron_speech.config.inspection.check_contamination import CheckContaminationConfig
from megatron_speech.config.stages.build_interleaved import (
    BuildInterleavedConfig,
    InterleavedCorpusConfig,
    SpansConfig,
    SpeakableConfig,
)
from megatron_speech.config.stages.build_vocabulary import BuildVocabularyConfig
from megatron_speech.config.stages.evaluation_data import DataSetConfig
from megatron_speech.config.stages.text_corpus import TextCorpusConfig
from megatron_speech.config.stages.tokenize_text import TokenizeTextConfig
from megatron_speech.data.shards.document import TokenDocument
from megatron_speech.data.shards.documents import write_documents
from megatron_speech.evaluation.contamination.check import LEAKS, check_contamination, leaked_items
from megatron_speech.evaluation.contamination.item_index import ItemIndex
from megatron_speech.evaluation.contamination.training_texts import training_texts
from megatron_speech.evaluation.contamination.words import words_of
from megatron_speech.interleave.build import build_interleaved
from megatron_speech.interleave.models import Models
from megatron_speech.reports import plots
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from megatron_speech.text_tokenizer.vocabulary_folder import build_vocabulary
from megatron_speech.tokenize_text.run import tokenize_text
from megatron_speech.vocabulary import Vocabulary
from tests.toys import write_jsonl, write_model
from tests.unit.interleave.toys import FakeEngine

VOCABULARY = """
the a of to and in that was his he it with as her for had she not at but on him they be you have by which all
river hill town house garden morning evening winter summer old young small great green white long story letter
window door street table water bread horse dog bird tree stone fire wind rain snow road field ship sea sand
walked found told asked gave took left saw heard wanted opened closed carried followed remembered forgot
"""
WORDS = VOCABULARY.split()
STEREOTYPES = ("one of the most important of all", "at the end of the long day", "for the first time in his life")


def sentence(drawn: random.Random, words: int) -> str:
    """Words whose frequencies fall as in language, sometimes with a phrase that many texts have."""
    chosen = drawn.choices(WORDS, [1 / rank for rank in range(1, len(WORDS) + 1)], k=words)
    if drawn.random() < 0.3:
        chosen[words // 2 : words // 2] = drawn.choice(STEREOTYPES).split()
    return " ".join(chosen).capitalize() + "."


def stories(path: Path, count: int) -> dict[str, str]:
    """A StoryCloze table; returns what gives each item away, by id."""
    drawn, told = random.Random(1), {}
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        columns = [f"input_sentence_{n}" for n in range(1, 5)]
        writer = csv.writer(file)
        writer.writerow(["story_id", *columns, "sentence_quiz1", "sentence_quiz2", "answer_right_ending"])
        for number in range(count):
            parts = [sentence(drawn, drawn.randrange(5, 12)) for _ in range(6)]
            right = drawn.randrange(2)
            writer.writerow([f"s{number}", *parts, right + 1])
            told[f"s{number}"] = " ".join([*parts[:4], parts[4 + right]])
    return told


def changed(text: str) -> str:
    """The text in another case, with other punctuation."""
    return text.upper().replace(".", " --").replace(" THE ", " ‘THE’, ")


def document(drawn: random.Random, leak: str = "") -> str:
    before, after = (" ".join(sentence(drawn, 12) for _ in range(drawn.randrange(2, 9))) for _ in range(2))
    return f"{before} {leak} {after}"


@pytest.fixture
def vocabulary(tmp_path: Path) -> Path:
    folder = tmp_path / "vocabulary"
    build_vocabulary(BuildVocabularyConfig(output=folder, text="bytes", codebook_size=16))
    return folder


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    fake = FakeEngine()
    monkeypatch.setattr(Models, "speak", lambda models, items: fake.speak(models, items))
    monkeypatch.setattr(plots, "plot_spans", lambda path, *_, **__: path.touch())
    return fake


def interleaved(tmp_path: Path, vocabulary: Path, texts: list[str], *, ratio: float = 0.5) -> Path:
    corpus = write_jsonl(tmp_path / "spoken.jsonl", *({"id": f"d{n}", "text": text} for n, text in enumerate(texts)))
    write_model(tmp_path / "hf", vocabulary, num_hidden_layers=1)
    config = BuildInterleavedConfig(
        corpora={"spoken": InterleavedCorpusConfig(path=corpus, renderings=2)},
        model=tmp_path / "hf",
        vocabulary=vocabulary,
        output=tmp_path / "interleaved",
        spans=SpansConfig(ratio=ratio, mean_length=12),
        speakable=SpeakableConfig(filter=False),
    )
    build_interleaved(config)
    return config.output


def document_shards(folder: Path, documents: list[TokenDocument], vocabulary: Path) -> None:
    with make_artifact(folder, kind="documents", config={}) as draft:
        draft.facts = write_documents(draft.folder, documents, vocabulary=Vocabulary.load(vocabulary), name="d")


def leaks_of(folder: Path) -> dict[str, dict]:
    return {line["item"]: line for line in map(json.loads, (folder / LEAKS).read_text().splitlines())}


def test_planted_leaks_are_found_and_clean_items_are_not(tmp_path: Path, vocabulary: Path, engine: FakeEngine):
    told = stories(tmp_path / "cloze" / "test.csv", 800)
    names, drawn = [*told], random.Random(2)
    verbatim, altered, spoken, clean = names[:100], names[100:200], names[200:300], names[300:]
    texts = [document(drawn, told[name]) for name in verbatim]
    texts += [document(drawn, changed(told[name])) for name in altered] + [document(drawn) for _ in range(300)]
    corpus = write_jsonl(tmp_path / "web.jsonl", *({"id": f"w{n}", "text": text} for n, text in enumerate(texts)))
    corpora = {"web": TextCorpusConfig(path=corpus)}
    tokenize_text(TokenizeTextConfig(corpora=corpora, vocabulary=vocabulary, output=tmp_path / "text"))
    shards = interleaved(tmp_path, vocabulary, [document(drawn, told[name]) for name in spoken])
    config = CheckContaminationConfig(
        data_sets={"cloze": DataSetConfig(layout="story_cloze", folder=tmp_path / "cloze")},
        sources={"text": tmp_path / "text", "interleaved": shards},
        vocabulary=vocabulary,
        output=tmp_path / "leaks",
    )
    check_contamination(config)
    leaks = leaks_of(config.output)
    recall = {part: len(leaks.keys() & {*group}) for part, group in enumerate((verbatim, altered, spoken))}
    assert sum(recall.values()) >= 0.99 * 300 and min(recall.values()) >= 98, recall
    assert len(leaks.keys() & {*clean}) <= 0.01 * len(clean)
    # Half of the words are speech, so that an item is seldom spared.
    assert all(leaks[name]["source"] == "interleaved" for name in leaks.keys() & {*spoken})
    assert sum(leaks[name]["spoken"] for name in leaks.keys() & {*spoken}) >= 95
    assert not any(leaks[name]["spoken"] for name in verbatim)
    assert leaks[verbatim[3]]["document"] == "w3" and leaked_items(config.output) == {("cloze", name) for name in leaks}
    facts = json.loads((config.output / "contamination.json").read_text())
    assert facts["data_sets"]["cloze"] | {"found": 0} == {
        "judged": 800,
        "too_short": 0,
        "without_text": 0,
        "found": 0,
        "spoken": len([leak for leak in leaks.values() if leak["spoken"]]),
    }
    before = (config.output / "manifest.json").stat().st_mtime_ns
    check_contamination(config)  # already done
    assert (config.output / "manifest.json").stat().st_mtime_ns == before


def test_words_behind_spans_are_those_of_the_corpus(tmp_path: Path, vocabulary: Path, engine: FakeEngine):
    texts = [document(random.Random(n)) for n in range(5)]
    folder = interleaved(tmp_path, vocabulary, texts, ratio=0.5)
    load = {"vocabulary": Vocabulary.load(vocabulary), "tokenizer": TextTokenizer.load(vocabulary)}
    found = list(training_texts(folder, corpora={}, **load))
    assert [text.text for text in found] == texts and all(text.spoken for text in found)
    (tmp_path / "spoken.jsonl").rename(tmp_path / "moved.jsonl")
    with pytest.raises(FileNotFoundError, match=r"corpora\.spoken\.path=.* does not exist"):
        list(training_texts(folder, corpora={}, **load))
    assert list(training_texts(folder, corpora={"spoken": tmp_path / "moved.jsonl"}, **load)) == found
    write_jsonl(tmp_path / "other.jsonl", {"id": "x", "text": "another text"})
    with pytest.raises(ValueError, match="document 'd0' is not in corpus 'spoken'"):
        list(training_texts(folder, corpora={"spoken": tmp_path / "other.jsonl"}, **load))


def test_transcripts_of_speech_are_spoken_text(tmp_path: Path, vocabulary: Path):
    loaded = Vocabulary.load(vocabulary)
    codes = np.arange(4, dtype=np.int32) + loaded.first_speech_id
    documents = [
        TokenDocument(key="speech", tokens=codes, meta={"text": "Who wrote it?"}),
        TokenDocument(key="mixed", tokens=np.int32([*b"ab", *codes, *b"cd"])),
        TokenDocument(key="text", tokens=np.int32([*b"ab"]), meta={"text": "not its text"}),
    ]
    document_shards(tmp_path / "d", documents, vocabulary)
    tokenizer = TextTokenizer.load(vocabulary)
    found = {t.document: t for t in training_texts(tmp_path / "d", vocabulary=loaded, tokenizer=tokenizer, corpora={})}
    speech = found["speech"]
    assert [speech.text[start:end] for start, end in speech.spoken] == ["Who wrote it?"]
    assert found["mixed"].text == "ab\ncd" and found["text"].text == "ab" and not found["text"].spoken


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't STOP, Café!", ["dont", "stop", "cafe"]),
        ("O’Brien's", ["obriens"]),
        ("中国的首都 is 北京。", ["中", "国", "的", "首", "都", "is", "北", "京"]),
        ("ﬁne ＡＢＣ １２", ["fine", "abc", "12"]),
        ("_x_ 3.14", ["x", "3", "14"]),
        ("nai\u0308ve cafe\u0301s", ["naive", "cafes"]),
        ("moun\u00adtain ri\u200bver \ufeffsea", ["mountain", "river", "sea"]),
    ],
)
def test_words_are_compared_without_case_accents_and_marks(text: str, words: list[str]):
    assert words_of(text) == words


def test_parts_of_an_item_must_stand_close_together():
    item = [f"w{n}" for n in range(20)]
    index = ItemIndex([item], together=8, fewest=5)
    assert index.matches(" ".join(item))[0].share == 1
    assert index.matches(" ".join([*item[:10], "and", *item[10:]]))[0].share == 1
    (match,) = index.matches(" ".join([*item[:10], *["far"] * 40, *item[10:]]))
    assert match.share == 0.5
    assert index.matches(" ".join(reversed(item))) == [] == index.matches(" ".join(item[:7]))


def test_memory_does_not_grow_with_the_texts(tmp_path: Path):
    drawn = random.Random(0)
    index = ItemIndex([words_of(sentence(drawn, 12)) for _ in range(200)], together=8, fewest=5)
    peaks = []
    for count in (30, 150):
        tracemalloc.start()
        for number in range(count):
            index.matches(document(random.Random(number)))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


def test_what_cannot_be_judged_is_counted(tmp_path: Path, vocabulary: Path):
    document_shards(tmp_path / "d", [TokenDocument(key="a", tokens=np.int32([*b"nothing"]))], vocabulary)
    rows = [
        {"index": 0, "audio_path": "0.wav", "audio_content": "Who was it?", "answer": "a"},
        {"index": 1, "audio_path": "1.wav", "audio_content": "", "answer": "b"},
        {"index": 2, "audio_path": "2.wav", "audio_content": "Who was it then at the door?", "answer": "c"},
    ]
    write_jsonl(tmp_path / "questions.jsonl", *rows)
    config = CheckContaminationConfig(
        data_sets={"qa": DataSetConfig(layout="audio_jsonl", folder=tmp_path / "questions.jsonl")},
        sources={"d": tmp_path / "d"},
        vocabulary=vocabulary,
        output=tmp_path / "leaks",
    )
    check_contamination(config)
    facts = json.loads((config.output / "contamination.json").read_text())
    assert facts == {
        "words": 1,
        "data_sets": {"qa": {"judged": 1, "too_short": 1, "without_text": 1, "found": 0, "spoken": 0}},
    }
    for key, value, message in (
        ("sources", {}, "sources: none is given"),
        ("fewest", 9, r"fewest=9 must be 1 to together=8"),
        ("share", 0.0, "share=0.0 must be above 0"),
    ):
        with pytest.raises(ValueError, match=message):
            replace(config, **{key: value})
