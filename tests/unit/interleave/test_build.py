"""Corpora to interleaved shards: what may be spoken, what is counted, and that batching changes nothing."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from megatron_speech.artifact import read_manifest
from megatron_speech.config.interleave import CorpusConfig, InterleaveConfig, SpansConfig
from megatron_speech.config.text_to_token import SynthesisConfig
from megatron_speech.config.tokens import VocabularyConfig
from megatron_speech.data.shards import read_documents
from megatron_speech.interleave.build import interleave, read_renderings, run_build
from megatron_speech.interleave.tally import Tally
from megatron_speech.text_tokenizer import TextTokenizer
from megatron_speech.vocabulary import Vocabulary
from megatron_speech.vocabulary_folder import build_vocabulary
from tests.toys import write_model

TEXT = "the river runs from the hills to the sea and turns many mills on its way"


def write_corpus(path: Path, texts: dict[str, str], **metadata) -> Path:
    lines = [json.dumps({"id": name, "text": text, "metadata": metadata}) for name, text in texts.items()]
    with path.open("a") as file:
        file.write("".join(line + "\n" for line in lines))
    return path


def article(number: int) -> str:
    words = TEXT.split()
    return " ".join(words[(number + i) % len(words)] for i in range(10 + 7 * number))


@pytest.fixture
def config(tmp_path: Path) -> InterleaveConfig:
    """Two corpora, one with a document that must not be spoken, and a random text-to-token model."""
    build_vocabulary(VocabularyConfig(output=tmp_path / "vocabulary", text="bytes", codebook_size=16))
    write_model(tmp_path / "hf", tmp_path / "vocabulary", num_hidden_layers=1)
    wiki = write_corpus(tmp_path / "wiki.jsonl", {f"wiki-{i}": article(i) for i in range(6)}, speakable=True)
    facts = write_corpus(tmp_path / "facts.jsonl", {"fact-0": "The capital of France is Paris."}, speakable=False)
    write_corpus(facts, {f"fact-{i}": f"Country {i} lies in the far north of Europe." for i in (1, 2, 3)})
    return InterleaveConfig(
        corpora={
            "facts": CorpusConfig(path=facts, renderings=3, max_documents=2),
            "wiki": CorpusConfig(path=wiki, licence="CC0-1.0", language="en"),
        },
        model=tmp_path / "hf",
        vocabulary=tmp_path / "vocabulary",
        output=tmp_path / "interleaved",
        spans=SpansConfig(ratio=0.4, mean_length=4),
        synthesis=SynthesisConfig(min_codes_per_character=0.1, max_codes_per_character=3, attempts=2),
    )


def synthesize(texts, keys):
    """Codes that depend on key and text alone; one in five fails."""
    digests = [hashlib.sha256(f"{key}\0{text}".encode()).digest() for text, key in zip(texts, keys, strict=True)]
    return [np.frombuffer(d, np.uint8)[: 2 + d[0] % 20] % 16 if d[1] % 5 else None for d in digests]


def built(config: InterleaveConfig, window: int, tally: Tally):
    vocabulary = Vocabulary.load(config.vocabulary)
    encode = TextTokenizer.load(config.vocabulary).encode
    renderings = read_renderings(config, tally)
    return list(
        interleave(
            renderings,
            config,
            encode=encode,
            vocabulary=vocabulary,
            synthesize=synthesize,
            tally=tally,
            window=window,
        )
    )


def test_batching_changes_nothing(config):
    reference, others = (
        built(config, 1000, Tally(config.spans)),
        [built(config, window, Tally(config.spans)) for window in (1, 3)],
    )
    for documents in others:
        assert [(d.key, d.tokens.tolist(), d.meta) for d in documents] == [
            (d.key, d.tokens.tolist(), d.meta) for d in reference
        ]


def test_each_rendering_has_fresh_spans_and_unspeakable_documents_are_left_out(config):
    tally = Tally(config.spans)
    documents = built(config, 4, tally)
    assert [d.key for d in documents[:6]] == [f"fact-{i}#{r}" for i in (1, 2) for r in range(3)]
    assert len(documents) == 6 + 6 and tally.counts["documents_not_speakable"] == 1
    longest = next(d for d in documents if d.meta["id"] == "wiki-5")
    assert len(longest.meta["spans"]) + longest.meta["failed"] > 1
    places = {json.dumps([span["words"] for span in d.meta["spans"]]) for d in documents[:3]}
    assert len(places) > 1


def test_text_and_speech_are_found_by_their_provenance(config):
    vocabulary, tokenizer = Vocabulary.load(config.vocabulary), TextTokenizer.load(config.vocabulary)
    tally = Tally(config.spans)
    for document in built(config, 4, tally):
        text = article(int(document.meta["id"][-1])) if document.meta["corpus"] == "wiki" else None
        speech = document.tokens >= vocabulary.first_speech_id
        marked = np.zeros_like(speech)
        for span in document.meta["spans"]:
            marked[slice(*span["tokens"])] = True
        assert (speech == marked).all()
        if text:
            kept = np.ones(len(text), bool)
            for span in document.meta["spans"]:
                kept[slice(*span["chars"])] = False
            written = [int(t) for t in document.tokens if t < vocabulary.num_text_ids]
            assert tokenizer.decode(written) == "".join(np.array([*text])[kept])
    counts = tally.counts
    assert (
        counts["spans"] == sum(tally.span_lengths.values()) + counts["spans_in_short_documents"]
        and 0 < counts["spans_failed"] < counts["spans"]
    )
    assert counts["spans_in_short_documents"] >= 6, "every rendering of a fact has one"
    assert 0 < counts["words_spoken"] < counts["words_drawn"] < counts["words"]


def test_the_stage_writes_shards_with_facts_and_is_skipped_when_made(config):
    run_build(config)
    manifest = read_manifest(config.output)
    facts = manifest["facts"]
    assert (manifest["licences"], manifest["languages"]) == (["CC0-1.0"], ["en"])
    documents = list(read_documents(config.output, vocabulary=Vocabulary.load(config.vocabulary)))
    assert facts["documents"] == len(documents) == 12
    assert facts["speech_tokens"] == facts["span_speech_tokens"] > 0
    assert facts["tokens"] == sum(len(document.tokens) for document in documents)
    assert facts["ratio_spoken"] <= facts["ratio_drawn"] == pytest.approx(0.4, abs=0.1)
    assert facts["spans_failed"] == facts["synthesis"].get("given_up", 0)
    assert len(facts["span_lengths"]["words"]) == len(facts["span_lengths"]["poisson"])
    before = (config.output / "manifest.json").stat().st_mtime_ns
    run_build(config)
    assert (config.output / "manifest.json").stat().st_mtime_ns == before


def test_defects_of_the_corpora_are_named(config, tmp_path):
    write_corpus(tmp_path / "wiki.jsonl", {"fact-1": "Taken twice."})
    with pytest.raises(ValueError, match=r"corpora\.wiki\.path=.*'fact-1' is also in corpora\.facts"):
        run_build(config)
    write_corpus(tmp_path / "facts.jsonl", {"x": "Perhaps."}, speakable="no")
    with pytest.raises(ValueError, match=r"'x': metadata\.speakable='no'"):
        facts = {"facts": CorpusConfig(path=config.corpora["facts"].path)}
        list(read_renderings(replace(config, corpora=facts), Tally(config.spans)))


def test_mistakes_are_found_before_the_weights_are_read(config, tmp_path):
    (config.model / "model.safetensors").unlink()
    vocabulary = Vocabulary.load(config.model)
    replace(vocabulary, speech_fingerprint="another").save(config.model / "vocabulary.json")
    with pytest.raises(ValueError, match="writes the codes of another speech tokenizer"):
        run_build(config)
    vocabulary.save(config.model / "vocabulary.json")
    (tmp_path / "wiki.jsonl").write_text("{}\n")
    with pytest.raises(ValueError, match=r"wiki\.jsonl:1: id=None must be a string"):
        run_build(config)
