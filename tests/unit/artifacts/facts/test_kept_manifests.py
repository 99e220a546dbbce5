"""Manifests that stages left are read into records and written again with the same bytes; odd ones are named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from megatron_speech.artifacts.facts.audio import AudioFacts
from megatron_speech.artifacts.facts.checkpoint import ExportFacts, GradientErrorFacts, ImportFacts
from megatron_speech.artifacts.facts.codes import CodesFacts, CodesTaskFacts
from megatron_speech.artifacts.facts.evaluation import DecodedSpeechFacts, EvaluationFacts, SamplesFacts
from megatron_speech.artifacts.facts.interleaved import InterleavedFacts, InterleavedShardFacts, InterleaveTaskFacts
from megatron_speech.artifacts.facts.miniature import CorpusFacts, FactsFacts, ProseFacts
from megatron_speech.artifacts.facts.probe import LayersProbeFacts
from megatron_speech.artifacts.facts.record import Record
from megatron_speech.artifacts.facts.speech_tokenizer import (
    SpeechDecoderFacts,
    SpeechTokenizerIdentity,
    TrainedSpeechTokenizerFacts,
)
from megatron_speech.artifacts.facts.text import TextDocumentsFacts, TextTaskFacts
from megatron_speech.artifacts.facts.text_to_token import RoundTripFacts
from megatron_speech.artifacts.facts.tokenizer_report import TokenizerReportFacts
from megatron_speech.artifacts.facts.tokens import IndexedDatasetFacts, PackedFacts, TaskDocumentsFacts
from megatron_speech.artifacts.facts.vocabulary import TextTokenizerFacts, VocabularyFacts
from megatron_speech.artifacts.manifest import make_artifact, read_facts, read_manifest
from tests.kept import MANIFESTS

KINDS: dict[str, type[Record]] = {
    "audio": AudioFacts,
    "checkpoint": ImportFacts,
    "corpus": CorpusFacts,
    "decoded_speech": DecodedSpeechFacts,
    "documents": TextDocumentsFacts,
    "documents_recognition": TaskDocumentsFacts,
    "documents_synthesis": TaskDocumentsFacts,
    "documents_text_to_token": TaskDocumentsFacts,
    "evaluation": EvaluationFacts,
    "facts": FactsFacts,
    "gradient_error": GradientErrorFacts,
    "hugging_face": ExportFacts,
    "indexed_dataset": IndexedDatasetFacts,
    "interleave_task": InterleaveTaskFacts,
    "interleaved": InterleavedFacts,
    "interleaved_shard": InterleavedShardFacts,
    "layers_probe": LayersProbeFacts,
    "packed": PackedFacts,
    "prose": ProseFacts,
    "round_trip": RoundTripFacts,
    "samples": SamplesFacts,
    "speech_codes": CodesFacts,
    "speech_codes_task": CodesTaskFacts,
    "speech_decoder": SpeechDecoderFacts,
    "speech_tokenizer": TrainedSpeechTokenizerFacts,
    "speech_tokenizer_report": TokenizerReportFacts,
    "text_task": TextTaskFacts,
    "text_tokenizer": TextTokenizerFacts,
    "vocabulary": VocabularyFacts,
}
FILES = sorted(MANIFESTS.glob("*.json"))


def finished(folder: Path, file: Path) -> Path:
    """A finished folder with a kept manifest."""
    folder.mkdir()
    shutil.copyfile(file, folder / "manifest.json")
    return folder


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_kept_manifest_is_written_again_with_the_same_bytes(tmp_path: Path, file: Path) -> None:
    folder = finished(tmp_path / "made", file)
    manifest = read_manifest(folder)
    facts = read_facts(folder, KINDS[manifest.kind])
    again = {**manifest.to_json(), "facts": facts.to_json()}
    assert json.dumps(again, indent=1, ensure_ascii=False) + "\n" == file.read_text()


def test_every_kind_is_kept() -> None:
    assert {json.loads(file.read_text())["kind"] for file in FILES} == KINDS.keys()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_what_a_stage_writes_is_what_is_kept(tmp_path: Path, file: Path) -> None:
    """Through `make_artifact`, as a stage does it: only `made_by` may differ."""
    kept = json.loads(file.read_text())
    kind = KINDS[kept["kind"]]
    with make_artifact(tmp_path / "made", kind=kept["kind"], config=kept["config"], inputs=kept["inputs"]) as draft:
        draft.licences |= set(kept["licences"])
        draft.languages |= set(kept["languages"])
        draft.facts = kind.from_json(kept["facts"])
    made = json.loads((tmp_path / "made" / "manifest.json").read_text())
    made["made_by"] = kept["made_by"]
    assert json.dumps(made, indent=1, ensure_ascii=False) + "\n" == file.read_text()


@pytest.mark.parametrize(
    ("name", "kind", "changes", "said"),
    [
        ("speech_codes", CodesFacts, {"codebook_size": None}, "facts.codebook_size=None must be an integer"),
        ("speech_codes", CodesFacts, {"codebook_size": 4.5}, "facts.codebook_size=4.5 must be an integer"),
        ("speech_codes", CodesFacts, {"code_counts": [1, "2"]}, r"facts.code_counts\[1\]=2 must be an integer"),
        ("packed", PackedFacts, {"fill": "full"}, "facts.fill=full must be a number"),
        ("packed", PackedFacts, {"vocabulary": 3}, "facts.vocabulary=3 must be a section with the keys fingerprint"),
        ("audio", AudioFacts, {"shards": [{"name": "a.tar"}]}, r"facts.shards\[0\].utterances is missing"),
        (
            "decoded_speech",
            DecodedSpeechFacts,
            {"vocoder": "lost"},
            "facts.vocoder=lost must be one of present, absent",
        ),
    ],
)
def test_an_odd_fact_is_named_with_manifest_and_remedy(
    tmp_path: Path, name: str, kind: type[Record], changes: dict[str, object], said: str
) -> None:
    folder = finished(tmp_path / "made", MANIFESTS / f"{name}.json")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["facts"] |= changes
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=rf"made/manifest\.json: {said}.*; make .*/made again") as error:
        read_facts(folder, kind)
    assert "\n" not in str(error.value)


def test_a_missing_fact_is_named_and_an_unknown_one_is_passed_over(tmp_path: Path) -> None:
    folder = finished(tmp_path / "made", MANIFESTS / "packed.json")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["facts"]["of_a_later_version"] = [1]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert read_facts(folder, PackedFacts).rows == manifest["facts"]["rows"]
    del manifest["facts"]["rows"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=r"made/manifest\.json: facts.rows is missing; make .*/made again"):
        read_facts(folder, PackedFacts)


def test_a_reader_may_ask_for_a_few_facts(tmp_path: Path) -> None:
    folder = finished(tmp_path / "made", MANIFESTS / "speech_tokenizer.json")
    whole, part = read_facts(folder, TrainedSpeechTokenizerFacts), read_facts(folder, SpeechTokenizerIdentity)
    assert (part.codebook_size, part.fingerprint, part.frame_rate) == (
        whole.codebook_size,
        whole.fingerprint,
        whole.frame_rate,
    )
