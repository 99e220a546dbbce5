"""Every example of "Adding a part" on the library's page: its file and its line make the part work where users call."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from transformers import AutoModelForCausalLM

from megatron_speech.artifacts.facts.evaluation import HeardFacts
from megatron_speech.artifacts.manifest import make_artifact
from megatron_speech.audio.importing import import_speech
from megatron_speech.audio.shards import AudioRecord, read_audio_shards
from megatron_speech.checkpoint.families.table import FAMILIES
from megatron_speech.config.stages.build_vocabulary import BuildVocabularyConfig
from megatron_speech.config.stages.evaluate import EvaluateConfig
from megatron_speech.config.stages.evaluation_data import DataSetConfig
from megatron_speech.config.stages.import_speech import ImportSpeechConfig
from megatron_speech.config.stages.speech_decoder import DecodeSpeechConfig
from megatron_speech.config.stages.text_corpus import TextCorpusConfig
from megatron_speech.config.stages.text_to_token import SynthesisConfig
from megatron_speech.config.stages.tokenize_speech import TokenizeSpeechConfig
from megatron_speech.config.stages.tokenize_text import TokenizeTextConfig
from megatron_speech.data.shards.document import TokenDocument
from megatron_speech.data.shards.documents import read_documents
from megatron_speech.evaluation.data_sets.table import read_items
from megatron_speech.evaluation.harness import evaluate
from megatron_speech.evaluation.speech import resynthesis
from megatron_speech.speech_tokenizer.corpus.run import tokenize_speech
from megatron_speech.text_to_token.synthesize import Synthesizer
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from megatron_speech.text_tokenizer.vocabulary_folder import build_vocabulary
from megatron_speech.tokenize_text.run import tokenize_text
from tests import toy_text_models
from tests.toys import write_audio, write_codes, write_jsonl, write_model

PAGE = (Path(__file__).parents[2] / "megatron_speech" / "README.md").read_text()
EXAMPLES = {
    title: (code, table, path, line)
    for title, code, table, path, line in re.findall(
        r"^### Adding an? ([a-z ]+)\n.*?```python\n(.*?)```\nIn `(\w+)` of `([a-z_/]+\.py)`: `(.+?)`$",
        PAGE,
        re.MULTILINE | re.DOTALL,
    )
}


def add(part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Write the file of an example and enter its line into the table; returns what the line names."""
    code, table, path, line = EXAMPLES[part]
    file = tmp_path / f"added_{part.replace(' ', '_')}.py"
    file.write_text(code)
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, file.stem, module)
    spec.loader.exec_module(module)
    tables = importlib.import_module(f"megatron_speech.{path.removesuffix('.py').replace('/', '.')}")
    ((name, added),) = eval("{" + line + "}", vars(module)).items()
    monkeypatch.setitem(vars(tables)[table], name, added)
    return added


def vocabulary_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "vocabulary"
    build_vocabulary(BuildVocabularyConfig(output=folder, codebook_size=32, speech_fingerprint="tokenizer-a"))
    return folder


def test_eight_examples_have_at_most_twenty_lines() -> None:
    assert list(EXAMPLES) == [
        *("corpus reader", "audio layout", "model family", "synthesis engine"),
        *("speech tokenizer", "speech decoder", "evaluation task", "reader of evaluation data"),
    ]
    for title, (code, *_) in EXAMPLES.items():
        lines = [line for line in code.splitlines() if line.strip()]
        assert len(lines) <= 20, f"{title}: {len(lines)} lines"


def test_a_corpus_reader_is_read_by_tokenization(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "a.csv").write_text('id,text,lang\n1,"Hello, world",en\n2,"Two\nlines",en\n')
    config = TokenizeTextConfig(
        corpora={"table": TextCorpusConfig(path=corpus, metadata_keys=["lang"])},
        vocabulary=vocabulary_folder(tmp_path),
        output=tmp_path / "documents",
    )
    with pytest.raises(FileNotFoundError, match="holds no file that ends in"):
        tokenize_text(config)
    add("corpus reader", tmp_path, monkeypatch)
    tokenize_text(config)
    documents = list(read_documents(tmp_path / "documents"))
    assert [bytes(document.tokens.tolist()).decode() for document in documents] == ["Hello, world", "Two\nlines"]
    assert [document.meta["lang"] for document in documents] == ["en", "en"]


def test_an_audio_layout_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    for name in ("b", "a"):
        soundfile.write(folder / f"{name}.wav", 0.4 * np.sin(np.arange(8000) / 9), 16000)
        (folder / f"{name}.txt").write_text(f"words of {name}\n")
    config = ImportSpeechConfig(table=folder, output=tmp_path / "audio")
    with pytest.raises(ValueError, match=r"fits no layout=auto of a folder \(known: kaldi"):
        import_speech(config)
    add("audio layout", tmp_path, monkeypatch)
    import_speech(config)
    found = [(record.key, record.text) for record in read_audio_shards(tmp_path / "audio")]
    assert found == [("a", "words of a"), ("b", "words of b")]


def test_a_model_family_is_imported_and_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    family = add("model family", tmp_path, monkeypatch)
    monkeypatch.setitem(toy_text_models.FAMILIES, "mistral", (family.config_class, {"sliding_window": None}))
    toy_text_models.text_model(tmp_path / "text", "mistral", tied=False)
    base, vocabulary = toy_text_models.import_text_model(tmp_path)
    exported = toy_text_models.export(tmp_path, base)
    toy_text_models.require_same_weights(exported, tmp_path / "text", vocabulary=vocabulary)
    before, after = (AutoModelForCausalLM.from_pretrained(folder) for folder in (tmp_path / "text", exported))
    assert type(before).__name__ == "MistralForCausalLM" and type(after).__name__ == "LlamaForCausalLM"
    tokens = torch.randint(0, vocabulary.num_text_ids, (1, 20))
    with torch.no_grad():
        text_logits = after(tokens).logits[..., : vocabulary.num_text_ids]
        torch.testing.assert_close(text_logits, before(tokens).logits[..., : vocabulary.num_text_ids])
    assert list(FAMILIES)[-1] == "mistral"


def test_a_model_family_s_required_settings_are_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    family = add("model family", tmp_path, monkeypatch)
    monkeypatch.setitem(toy_text_models.FAMILIES, "mistral", (family.config_class, {"sliding_window": 16}))
    toy_text_models.text_model(tmp_path / "text", "mistral", tied=False)
    with pytest.raises(ValueError, match="sliding_window=16 must be None; convert another model"):
        toy_text_models.import_text_model(tmp_path)


def test_a_synthesis_engine_speaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add("synthesis engine", tmp_path, monkeypatch)
    model = write_model(tmp_path / "hf", vocabulary_folder(tmp_path))
    synthesizer = Synthesizer.load(model, SynthesisConfig(engine="repeat"))
    made = synthesizer.synthesize(["good morning", "good evening"], 0)
    assert [codes.tolist() for codes in made if codes is not None] == [[3] * 8, [3] * 8]


def test_a_speech_tokenizer_encodes_a_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add("speech tokenizer", tmp_path, monkeypatch)
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "loudness"}))
    (folder / "model.safetensors").write_bytes(b"")
    loud = np.concatenate([np.full(1280, level, np.float32) for level in (0.1, 0.3, 0.6)])
    long = np.tile(np.float32([0.2, -0.2]), 16000 * 16)  # 32 s: cut into windows of max_codes
    records = [AudioRecord(key=key, waveform=each, text="x", meta={}) for key, each in (("a", loud), ("b", long))]
    write_audio(tmp_path / "audio", records)
    config = TokenizeSpeechConfig(tokenizer=folder, audio=tmp_path / "audio", output=tmp_path / "codes")
    tokenize_speech(config)
    short, cut = read_documents(tmp_path / "codes")
    assert short.tokens.tolist() == [0, 2, 4] and cut.tokens.tolist() == [1] * 400


def test_a_speech_decoder_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add("speech decoder", tmp_path, monkeypatch)
    facts = {"sample_rate": 8000, "frame_rate": 12.5, "codebook_size": 32, "speech_fingerprint": "tokenizer-a"}
    with make_artifact(tmp_path / "decoder", kind="speech_decoder", config={}) as draft:
        (draft.folder / "config.json").write_text(json.dumps({"decoder": "tone", "facts": facts}))
    (tmp_path / "vocoder").mkdir()
    (tmp_path / "vocoder" / "model.safetensors").write_bytes(b"")
    speech = AudioRecord(key="u", waveform=np.zeros(8000, np.float32), text="x", meta={"voice": "hibari"})
    codes = TokenDocument(key="u", tokens=np.array([0, 7], np.int32))
    scores = HeardFacts(wer=0.0, cer=0.0, words=1, dnsmos=5.0)
    monkeypatch.setattr(resynthesis, "_judge", lambda *_: (scores, scores))  # whose models are not here
    config = DecodeSpeechConfig(
        output=tmp_path / "wav",
        audio=write_audio(tmp_path / "audio", [speech]),
        codes=write_codes(tmp_path / "codes", [codes], num_codes=32, fingerprint="tokenizer-a"),
        decoder=tmp_path / "decoder",
        vocoder=tmp_path / "vocoder",
        dnsmos=tmp_path / "none",
        recognizer=tmp_path / "none",
        voices=("hibari",),
    )
    resynthesis.decode_speech(config)
    waveform, rate = soundfile.read(tmp_path / "wav" / "u.resynthesis.wav")
    crossings = [int(((half[:-1] < 0) & (half[1:] >= 0)).sum()) for half in np.split(waveform, 2)]
    assert rate == 8000 and len(waveform) == 2 * 640
    assert crossings == pytest.approx([100 * 0.08, 800 * 0.08], abs=1)


def test_an_evaluation_task_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add("evaluation task", tmp_path, monkeypatch)
    model = write_model(tmp_path / "hf", vocabulary_folder(tmp_path))
    texts = write_jsonl(tmp_path / "texts.jsonl", {"id": "a", "text": "abc"}, {"id": "b", "text": "defgh"})
    tasks = {"text_loss": {"texts": str(texts)}}
    evaluate(EvaluateConfig(model=model, output=tmp_path / "result", tasks=tasks))
    network, tokenizer = AutoModelForCausalLM.from_pretrained(model), TextTokenizer.load(model)
    losses = []
    for text in ("abc", "defgh"):
        ids = torch.tensor([tokenizer.encode(text)])
        with torch.no_grad():
            losses.append(float(network(input_ids=ids, labels=ids).loss))
    results = json.loads((tmp_path / "result" / "evaluation.json").read_text())
    assert results["text_loss"]["value"] == pytest.approx(np.mean(losses), abs=1e-5)
    lines = [json.loads(line) for line in (tmp_path / "result" / "items.jsonl").read_text().splitlines()]
    assert [line["item"] for line in lines] == ["a", "b"]
    with pytest.raises(ValueError, match=r"^tasks\.text_loss\.text: no such key; did you mean 'texts'\?$"):
        evaluate(EvaluateConfig(model=model, output=tmp_path / "other", tasks={"text_loss": {"text": "x"}}))


def test_a_reader_of_evaluation_data_is_named_by_its_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add("reader of evaluation data", tmp_path, monkeypatch)
    folder = tmp_path / "answered"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / f"{name}.txt").write_text(f"answer {name}\n")
    soundfile.write(folder / "a.wav", np.full(1600, 0.5), 16000)
    found = list(read_items(DataSetConfig(layout="answered", folder=folder)))
    assert [(item.id, item.answers, item.defect) for item in found] == [
        ("a", ("answer a",), None),
        ("b", ("answer b",), "missing"),
    ]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"layout=answered, which expects <question>\.wav with its answer"):
        list(read_items(DataSetConfig(layout="answered", folder=tmp_path / "empty")))
