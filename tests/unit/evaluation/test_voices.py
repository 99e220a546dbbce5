"""The voice of spoken texts is compared with that of their prompts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from megatron_speech.config.stages.evaluation_data import DataSetConfig
from megatron_speech.evaluation.score_table import LIKENESS, score_table
from megatron_speech.evaluation.tasks import hearing
from megatron_speech.evaluation.tasks.interface import Written
from megatron_speech.evaluation.tasks.questions.task import QuestionsTask
from megatron_speech.evaluation.tasks.synthesis import SynthesisTask
from megatron_speech.metrics.bootstrap import Bootstrap
from tests.toy_recordings import letters_spoken, say


def test_voices_are_compared_with_those_of_the_prompts(tmp_path, model, tokenizer, sound, monkeypatch):
    class Encoder:
        def similarity(self, first: np.ndarray, second: np.ndarray) -> float:
            return 0.25 + 0.5 * (len(second) > 0 and len(first) > 0)

    monkeypatch.setattr(hearing, "SpeakerEncoder", lambda folder: Encoder())
    (folder := tmp_path / "voices").mkdir()
    (folder / "model.safetensors").write_text("weights")
    (folder / "config.json").write_text("{}")
    for name in ("a", "c"):
        say(folder / f"{name}.wav", 1)
    (folder / "meta.lst").write_text("a|.|a.wav|Paris\nb|.|gone.wav|Oslo\nc|.|c.wav|Lima\nd|Rome\n")
    sets = {"seed": DataSetConfig(layout="seed_tts_eval", folder=folder)}
    heard = replace(sound, speaker_encoder=folder)
    task = SynthesisTask(sets=sets, speech_tokenizer=folder, max_speech_tokens=40, sound=heard)
    items = task.items(model.vocabulary)
    codes = [
        (letters_spoken(text) + model.vocabulary.first_speech_id).tolist() for text in ("Paris", "Oslo", "", "Rome")
    ]
    said = [Written(tokens=tuple(each), reason="stop") for each in codes]
    records = task.records(items, {"text->speech": said}, model)
    marks = {record["item"][-1]: record.get("speaker_similarity") for record in records[:4]}
    assert marks == {"a": 0.75, "b": None, "c": 0.0, "d": None}, "what was not said resembles nobody"
    results = task.results(items, records, Bootstrap(resamples=200))["seed"]
    assert results["speaker_similarity"]["value"] == 0.375 and results["speaker_similarity"]["items"] == 2
    assert LIKENESS in score_table({"synthesis": {"seed": results}})
    before = task.protocol(items)
    assert ", speaker encoder " in before.sound
    say(folder / "a.wav", 2)
    assert task.protocol(task.items(model.vocabulary)).prompt != before.prompt
    with pytest.raises(
        ValueError, match=r"^tasks\.questions\.sound\.speaker_encoder=.*: questions ask for nobody's voice"
    ):
        QuestionsTask(sets=sets, speech_tokenizer=folder, answers=("speech",), sound=heard)
