"""Choices of data sets by likelihood: log-probabilities are kept by token, and damaged recordings count as wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from megatron_speech.config.inspection.compare_evaluations import CompareEvaluationsConfig
from megatron_speech.config.stages.evaluate import EvaluateConfig
from megatron_speech.config.stages.evaluation_data import DataSetConfig
from megatron_speech.evaluation.comparison.scores import compared_scores
from megatron_speech.evaluation.data_sets import encoding
from megatron_speech.evaluation.harness import evaluate, run_task
from megatron_speech.evaluation.tasks.choices.scores import credit_of_record
from megatron_speech.evaluation.tasks.choices.task import ChoicesTask
from megatron_speech.metrics.bootstrap import Bootstrap
from megatron_speech.metrics.likelihood_scores import SCORES
from tests.toy_recordings import say
from tests.toys import write_model
from tests.unit.evaluation.layouts import write_parquet

BOOTSTRAP = Bootstrap(resamples=200)


def cross_modal(folder: Path, items: int = 4) -> Path:
    for number in range(items):
        for place, part in enumerate(("mutual", "correct", "incorrect")):
            say(folder / f"{number}_{part}.wav", 3 * number + place)
            (folder / f"{number}_{part}.txt").write_text(f"Part {part} of {number}.")
    return folder


def joined(folder: Path) -> Path:
    for number in range(3):
        for place, word in enumerate(("correct", "incorrect")):
            say(folder / f"{number}_{word}.wav", 2 * number + place)
    return folder


def task_of(folder: Path, layout: str = "cross_modal_cloze", **settings: object) -> ChoicesTask:
    sets = {"stories": DataSetConfig(layout=layout, folder=folder)}
    return ChoicesTask(sets=sets, speech_tokenizer=folder / "tokenizer", **settings)


def test_all_pairs_of_a_set_are_scored_as_a_plain_forward_pass_scores_them(tmp_path, model, tokenizer):
    task = task_of(cross_modal(tmp_path))
    items = task.items(model.vocabulary)
    results, records = run_task(model, task, items, BOOTSTRAP, name="choices")
    assert [*results["stories"]] == [
        *("text->text", "text->speech", "speech->text", "speech->speech", "items", "defects")
    ]
    assert results["stories"]["items"] == 4 and len(records) == 16 and results["chance"] == 0.5
    begin = model.vocabulary.special_id("<|begin_of_audio|>")
    for record, item in zip(records[4:8], items, strict=True):  # text->speech
        for candidate, passage, seconds in zip(record["candidates"], item.candidates, item.seconds, strict=True):
            codes = (passage.codes + model.vocabulary.first_speech_id).tolist()
            context = [*item.context.text.encode(), begin]
            with torch.no_grad():
                logits = model.network(torch.tensor([[*context, *codes]])).logits[0].double().log_softmax(-1)
                alone = model.network(torch.tensor([[256, begin, *codes]])).logits[0].double().log_softmax(-1)
            ids = [*context, *codes]
            expected = [float(logits[place - 1, ids[place]]) for place in range(1, len(ids))]
            assert [*record["context"], *candidate["tokens"]] == pytest.approx(expected, abs=1e-5)
            bare = [float(alone[place + 1, code]) for place, code in enumerate(codes)]
            assert candidate["alone"] == pytest.approx(bare, abs=1e-5)
            assert seconds == candidate["seconds"] == len(codes) / 12.5 and candidate["text"] == passage.text


def test_every_score_is_computed_from_the_records_alone(tmp_path, model, tokenizer):
    task = task_of(cross_modal(tmp_path, items=12))
    results, records = run_task(model, task, task.items(model.vocabulary), BOOTSTRAP, name="choices")
    kept = [json.loads(json.dumps(record)) for record in records]
    for pair in ("text->text", "text->speech", "speech->text", "speech->speech"):
        known = {*SCORES} - ({"per_second"} if pair.endswith("text") else set())
        assert results["stories"][pair].keys() == known
        for score in known:
            credits = [credit_of_record(record, score) for record in kept if record["pair"] == pair]
            assert results["stories"][pair][score]["value"] == pytest.approx(np.mean(credits), abs=1e-6)
    for score in ("sum", "pmi"):
        other = replace(task, score=score)
        _, again = run_task(model, other, other.items(model.vocabulary), BOOTSTRAP, name="choices")
        assert [record["credit"] for record in again] == [credit_of_record(record, score) for record in kept]


def test_a_damaged_recording_counts_as_wrong_with_its_reason(tmp_path, model, tokenizer):
    cross_modal(tmp_path)
    (tmp_path / "1_correct.wav").unlink()
    (tmp_path / "2_mutual.wav").write_bytes(b"")
    task = task_of(tmp_path)
    results, records = run_task(model, task, task.items(model.vocabulary), BOOTSTRAP, name="choices")
    assert results["stories"]["items"] == 4 and results["stories"]["defects"] == {"empty": 1, "missing": 1}
    by_pair = {pair: [r for r in records if r["pair"] == pair] for pair in ("text->text", "speech->speech")}
    assert all(len(group) == 4 for group in by_pair.values())
    assert all("reason" not in record for record in by_pair["text->text"])
    assert [record.get("reason") for record in by_pair["speech->speech"]] == [None, "missing", "empty", None]
    assert [record["credit"] for record in by_pair["speech->speech"]][1:3] == [0.0, 0.0]
    assert results["stories"]["speech->speech"]["sum"]["items"] == 4


def test_a_damaged_recording_is_asked_in_no_pair_that_its_set_lacks(tmp_path, model, tokenizer):
    """A written candidate is not asked aloud, because the recording of its context is damaged."""
    say(tmp_path / "good.wav", 1)
    sounds = (tmp_path / "good.wav").read_bytes(), b"no audio" * 20
    rows = [
        {
            "audio": {"bytes": sound, "path": None},
            "transcription": "I did not say that",
            "interpretation_id": f"i{number}",
            "possible_answers": ["Someone else said it.", "It was not said."],
            "label": number,
        }
        for number, sound in enumerate(sounds)
    ]
    write_parquet(tmp_path / "set" / "test.parquet", rows)
    task = task_of(tmp_path / "set", layout="stress_test")
    results, records = run_task(model, task, task.items(model.vocabulary), BOOTSTRAP, name="choices")
    assert [*results["stories"]] == ["text->text", "speech->text", "items", "defects"]
    reasons = {
        pair: [r.get("reason") for r in records if r["pair"] == pair] for pair in results["stories"] if ">" in pair
    }
    assert reasons == {"text->text": [None, None], "speech->text": [None, "not audio"]}


def test_joined_recordings_follow_the_beginning_of_a_document(tmp_path, model, tokenizer):
    task = task_of(joined(tmp_path), layout="wav_pairs")
    items = task.items(model.vocabulary)
    groups = dict(task.requests(items, model))
    assert [*groups] == ["speech->speech"] and len(groups["speech->speech"]) == 6
    assert {tuple(context) for context, _ in groups["speech->speech"]} == {(256, 257)}
    results, records = run_task(model, task, items, BOOTSTRAP, name="choices")
    assert results["stories"]["speech->speech"].keys() == {"sum", "per_token", "per_second", "whole_mean"}
    assert all(record["context"] == [] for record in records)


def test_codes_are_cached_by_content(tmp_path, model, tokenizer):
    task = task_of(cross_modal(tmp_path / "set"), cache=tmp_path / "cache")
    first = task.items(model.vocabulary)
    assert tokenizer.encoded == 12
    (tmp_path / "set" / "0_mutual.wav").rename(tmp_path / "set" / "9_mutual.wav")
    (tmp_path / "set" / "9_mutual.wav").rename(tmp_path / "set" / "0_mutual.wav")
    again = task.items(model.vocabulary)
    assert tokenizer.encoded == 12 and task.protocol(first) == task.protocol(again)
    say(tmp_path / "set" / "0_mutual.wav", 99)
    assert task.protocol(task.items(model.vocabulary)).prompt != task.protocol(first).prompt
    assert tokenizer.encoded == 13


def test_an_evaluation_of_choices_can_be_compared(tmp_path, vocabulary, tokenizer):
    folder = cross_modal(tmp_path / "set")
    (tmp_path / "tokenizer").write_text("stands for a folder")
    sets = {"stories": {"layout": "cross_modal_cloze", "folder": str(folder)}}
    outputs = []
    for seed in (1, 2):
        model = write_model(tmp_path / f"hf{seed}", vocabulary, seed=seed)
        tasks = {"choices": {"sets": sets, "speech_tokenizer": str(tmp_path / "tokenizer")}}
        config = EvaluateConfig(model=model, output=tmp_path / f"result{seed}", tasks=tasks, resamples=200)
        evaluate(config)
        outputs.append(config.output)
    scores = compared_scores(CompareEvaluationsConfig(evaluations=outputs))
    assert [score.pair for score in scores] == ["text->text", "text->speech", "speech->text", "speech->speech"]
    assert all(score.items == 4 and score.chance == 0.5 for score in scores)
    say(folder / "0_mutual.wav", 77)
    with pytest.raises(ValueError, match="exists but was made from other inputs"):
        evaluate(config)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"score": "perplexity"}, r"tasks\.choices\.score=perplexity is unknown; the scores are sum, per_token"),
        ({"max_items": 0}, r"tasks\.choices\.max_items=0 must be at least 1"),
        ({"score": "per_second"}, r"score=per_second: item '0' of stories has not what it needs \(text->text\)"),
        ({"speech_tokenizer": None}, r"stories has recordings; name tasks\.choices\.speech_tokenizer"),
    ],
)
def test_settings_that_cannot_be_met_are_refused(tmp_path, model, tokenizer, settings, message):
    cross_modal(tmp_path)
    with pytest.raises(ValueError, match=message):
        replace(task_of(tmp_path), **settings).items(model.vocabulary)


def test_other_kinds_of_items_and_other_tokenizers_are_refused(tmp_path, model, tokenizer, monkeypatch):
    (tmp_path / "q.jsonl").write_text('{"index": 0, "audio_path": "0.wav", "audio_content": "Who?", "answer": "I"}\n')
    with pytest.raises(ValueError, match="item '0' is no choice between two; name another layout"):
        task_of(tmp_path, layout="audio_jsonl").items(model.vocabulary)
    monkeypatch.setattr(encoding, "read_facts", lambda folder: SimpleNamespace(fingerprint="tokenizer-b"))
    with pytest.raises(ValueError, match="name the tokenizer that the model was trained with"):
        task_of(tmp_path).items(model.vocabulary)
