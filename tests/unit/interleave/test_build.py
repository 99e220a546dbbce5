"""Corpora to interleaved shards: no byte depends on tasks, jobs, kills or dead engines; what is left out is counted."""

from __future__ import annotations

import json
import logging
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from megatron_speech.artifacts.manifest import read_manifest
from megatron_speech.config.stages.build_interleaved import BuildInterleavedConfig
from megatron_speech.data.shards.documents import read_documents
from megatron_speech.data.shards.verify import verify_folder
from megatron_speech.interleave.build import build_interleaved
from megatron_speech.interleave.corpus_shards import interleave_tasks
from megatron_speech.text_to_token.synthesize import speaker_of
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from megatron_speech.vocabulary import Vocabulary
from tests.toys import write_jsonl
from tests.unit.interleave.toys import article, digest, record, run


def documents_of(config: BuildInterleavedConfig, folder: Path):
    return list(read_documents(folder, vocabulary=Vocabulary.load(config.vocabulary)))


def test_tasks_and_jobs_change_no_byte(config, engine):
    whole = run(config, "whole")
    cut = replace(config, documents_per_task=1)
    counted = replace(cut, output=whole.with_name("cut"))
    assert (len(interleave_tasks(config)), len(interleave_tasks(counted))) == (3, 5)
    for job in (6, 0, 3, 1, 2, 5, 4, 1):  # more jobs than tasks, in any order, one of them twice
        run(cut, "cut", part="tasks", job=job, jobs=7)
    for _ in range(2):  # requeued when all was done
        run(cut, "cut", part="finish")
    assert digest(whole) == digest(run(cut, "two", workers=1)) == digest(whole.with_name("cut"))
    facts = [read_manifest(whole.with_name(name)).facts for name in ("whole", "cut", "two")]
    assert facts[0] == facts[1] == facts[2]
    assert not list(whole.parent.glob("*.tasks")) and not list(whole.parent.glob("*.partial"))
    assert list(verify_folder(whole, ids=True)) == []
    assert [shard.name for shard in sorted(whole.glob("*.tar"))][:3] == [
        "interleaved-00000-00000-000000.tar",
        "interleaved-00000-00001-000000.tar",
        "interleaved-00001-00000-000000.tar",
    ]


def test_each_rendering_has_fresh_spans_and_unspeakable_documents_are_left_out(config, engine):
    documents = documents_of(config, run(config, "made"))
    assert [d.key for d in documents[:6]] == [f"fact-{i}#{r}" for i in (1, 2) for r in range(3)]
    assert len(documents) == 6 + 7
    longest = next(d for d in documents if d.meta["id"] == "wiki-6")
    assert len(longest.meta["spans"]) + longest.meta["failed"] > 1
    assert len({json.dumps([span["words"] for span in d.meta["spans"]]) for d in documents[:3]}) > 1
    facts = read_manifest(config.output.with_name("made")).facts
    assert facts["documents_not_speakable"] == 1
    assert facts["spans"] == sum(facts["span_lengths"]["spans"]) + facts["spans_cut_or_short"]
    assert 0 < facts["spans_failed"] < facts["spans"] == len(engine.spoken)
    assert 0 < facts["words_spoken"] < facts["words_drawn"] < facts["words"]
    assert facts["ratio_drawn"] == pytest.approx(0.4, abs=0.1)
    assert facts["speech_tokens"] == facts["span_speech_tokens"]
    assert "| share of them drawn, where 0.4 is asked |" in (config.output.with_name("made") / "report.md").read_text()


def test_the_model_is_asked_for_readings_and_unsure_sentences_are_counted(config, engine):
    said = "She was aged 5 in the war, and it cost $3.5 million. "
    write_jsonl(config.corpora["wiki"].path / "c.jsonl", record("figures", (said + "He got 3-4-5 there. ") * 6))
    facts = read_manifest(run(replace(config, noise=None), "made")).facts
    asked = [text for text in engine.spoken if text.startswith("figures")]
    assert asked and not any(char.isdigit() or char == "$" for text in asked for char in text.partition(" ")[2])
    assert any("aged five" in text or "five in the" in text for text in asked)
    assert not any("inch" in text for text in asked)
    assert facts["words_left_out"]["reading"] == 6 * 4
    assert (
        "| units that cannot be spoken: reading | 24 |" in (config.output.with_name("made") / "report.md").read_text()
    )


def test_text_and_speech_are_found_by_their_provenance(config, engine):
    vocabulary, tokenizer = Vocabulary.load(config.vocabulary), TextTokenizer.load(config.vocabulary)
    speakers = ["anna", "ben", "chris"]
    voiced = replace(config, synthesis=replace(config.synthesis, speakers=speakers))
    for document in documents_of(config, run(voiced, "made")):
        assert document.meta["seed"] == 0 and len(document.meta["model"]) == 16
        assert document.meta["engine"] == "transformers"
        assert {speaker_of(speakers, 0, span["key"]) for span in document.meta["spans"]} <= {document.meta["speaker"]}
        speech = document.tokens >= vocabulary.first_speech_id
        marked = np.zeros_like(speech)
        for span in document.meta["spans"]:
            marked[slice(*span["tokens"])] = True
            assert span["class"] in ("prose", "numbers", "names", "dialogue")
            assert span["key"] == f"{document.key}:{span['words'][0]}"
            assert list(span) == ["words", "chars", "tokens", "class", "key"], "as every version has written them"
        assert (speech == marked).all()
        if document.meta["corpus"] == "wiki":
            text = article(int(document.meta["id"][-1]))
            kept = np.ones(len(text), bool)
            for span in document.meta["spans"]:
                kept[slice(*span["chars"])] = False
            written = [int(t) for t in document.tokens if t < vocabulary.num_text_ids]
            assert tokenizer.decode(written) == "".join(np.array([*text])[kept])


def test_the_last_lines_say_what_could_be_read_and_what_became_speech(config, engine, caplog):
    with caplog.at_level(logging.INFO):
        facts = read_manifest(run(config, "made")).facts
    every = facts["words"] + facts["words_not_speakable"]
    line = next(record.message for record in caplog.records if "can be read aloud" in record.message)
    assert line.startswith(
        f"{facts['words']:,} of {every:,} words can be read aloud, {facts['ratio_spoken']:.1%} of these"
    )
    assert f"{facts['spans_failed']} of {facts['spans']} spans failed" in line and line.endswith("made/report.md")


def test_an_engine_that_dies_ends_its_task_alone_and_a_rerun_finishes(config, engine, caplog):
    undisturbed = run(config, "whole")
    engine.spoken.clear()
    engine.dies_after = 9  # in the first file of the second corpus
    with caplog.at_level(logging.ERROR), pytest.raises(ValueError, match=r"the engine stopped in 1 of 3 tasks \(1\)"):
        run(config, "made")
    assert [line.message for line in caplog.records if line.levelno == logging.ERROR] == [
        "task 1 (wiki) stopped: synthesis.engine=fake died (an illegal memory access); run the same command again"
    ]
    parts = config.output.with_name("made.tasks")
    assert [path.name for path in sorted(parts.glob("task-?????"))] == ["task-00000", "task-00002"]
    made = run(config, "made")
    assert digest(made) == digest(undisturbed)
    assert max(Counter(engine.spoken).values()) == 1, "no span was spoken twice"


def test_the_boundary_can_be_changed_without_speaking_again(config, engine):
    run(config, "made", part="tasks")
    engine.spoken.clear()
    run(replace(config, boundary="none"), "made")
    assert engine.spoken == []
    with pytest.raises(ValueError, match=r"with other settings \(boundary: none -> begin_end\)"):
        run(config, "made")


def test_codes_of_another_seed_or_sampling_are_not_mixed_in(config, engine):
    run(config, "made", part="tasks")
    with pytest.raises(
        ValueError, match=r"journal was begun with other settings \(synthesis.top_p: 1.0 -> 0.5\); restore"
    ):
        run(replace(config, synthesis=replace(config.synthesis, top_p=0.5)), "made")


def test_codes_of_another_language_are_not_mixed_in(config, engine):
    config = replace(config, corpora={"wiki": replace(config.corpora["wiki"], language=None)})
    run(config, "made", part="tasks")
    chinese = replace(
        config, speakable=replace(config.speakable, language="zh"), spans=replace(config.spans, unit="characters")
    )
    with pytest.raises(ValueError, match=r"other settings \(synthesis.language: en -> zh\)"):
        run(chinese, "made")


def test_the_pace_of_synthesis_can_be_changed_at_any_time(config, engine, tmp_path):
    run(config, "made", part="tasks")
    parts = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "made.tasks").glob("*")}
    faster = replace(config, synthesis=replace(config.synthesis, batch_size=7))
    run(faster, "made", part="tasks")
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "made.tasks").glob("*")} == parts
    made = digest(run(config, "made"))
    assert digest(run(faster, "made")) == made


def test_a_linked_folder_within_a_corpus_is_refused(config, tmp_path):
    (tmp_path / "wiki/more").symlink_to(tmp_path)
    with pytest.raises(
        ValueError, match=r"wiki/more is a link to a folder, which is not followed; make it a corpus of"
    ):
        run(config, "made")


def test_an_output_within_a_corpus_is_refused(config, tmp_path):
    with pytest.raises(ValueError, match=r"output=.*wiki/made lies in corpora.wiki.path=.*wiki, where every"):
        run(replace(config, output=tmp_path / "wiki/any"), "made")


def test_finishing_names_the_task_that_is_missing(config, engine, tmp_path):
    run(config, "made", part="tasks", job=1, jobs=2)
    with pytest.raises(ValueError, match=r"task-00000 is not made: task 0 \(facts: facts.jsonl\) has not run"):
        run(config, "made", part="finish")
    run(config, "made", part="tasks")
    with (tmp_path / "wiki/b.jsonl").open("a") as file:
        file.write(json.dumps(record("late", "It came late.")) + "\n")
    with pytest.raises(ValueError, match=r"b.jsonl changed after .*task-00002 was made from it; run task 2 again"):
        run(config, "made", part="finish")


HARD = "bell \x07 and null \x00 \u202eback to front\u202c \u05e9\u05dc\u05d5\u05dd \u0627\u0644\u0633 \ufffd"
BAD = ["{", {"id": "blank", "text": " "}, {"id": "odd", "text": "Perhaps.", "metadata": {"speakable": "no"}}]


def test_lines_that_are_no_documents_are_named_or_counted(config, engine, tmp_path):
    with (tmp_path / "wiki/b.jsonl").open("ab") as file:
        file.write(b'{"id": "latin", "text": "caf\xe9"}\n')
        file.writelines((line if isinstance(line, str) else json.dumps(line)).encode() + b"\n" for line in BAD)
        file.write(json.dumps(record("wiki-0", "This name is taken.")).encode() + b"\n")
        file.write(json.dumps(record("hard", HARD)).encode() + b"\n")
    with pytest.raises(ValueError, match=r"b\.jsonl:3: not UTF-8"):
        run(config, "made")
    assert not any("wiki-5" in span for span in engine.spoken), "found before anything of the task is spoken"
    counted = replace(config, on_bad_line="count")
    with pytest.raises(ValueError, match=r"4 of \d+ lines are unusable .* max_quarantined_share=0.01; the first: .*b"):
        run(counted, "counted")
    counted = replace(counted, max_quarantined_share=1.0)  # nothing that was spoken is spoken again
    made = run(counted, "counted")
    facts = read_manifest(made).facts
    assert facts["corpora"]["wiki"]["dropped"] == {"no text": 1, "not JSON": 1, "not UTF-8": 1, "speakable": 1}
    assert len((made / "dropped.jsonl").read_text().splitlines()) == 4
    assert facts["repeated_ids"] == 1
    assert json.loads((made / "repeated_ids.jsonl").read_text()) == {
        "line": f"{tmp_path}/wiki/b.jsonl:7",
        "first": f"{tmp_path}/wiki/a.jsonl:1",
    }
    document = documents_of(config, made)[-1]
    text = [int(t) for t in document.tokens if t < Vocabulary.load(config.vocabulary).num_text_ids]
    assert document.meta["id"] == "hard" and len(text) <= len(HARD.encode())
    assert digest(run(replace(counted, documents_per_task=2), "again")) == digest(made)


def test_ids_that_repeat_between_files_are_an_error_by_default(config, engine, tmp_path):
    with (tmp_path / "wiki/b.jsonl").open("a") as file:
        file.write(json.dumps(record("fact-1", "Taken twice.")) + "\n")
    with pytest.raises(ValueError, match=r"b.jsonl:3: its id already stands at .*facts.jsonl:2; ids seed the spans"):
        run(config, "made")


def test_mistakes_are_found_before_the_weights_are_read(config, tmp_path):
    model = tmp_path / "hf"
    model.mkdir()
    for file in config.model.iterdir():
        if file.name != "model.safetensors":
            (model / file.name).write_bytes(file.read_bytes())
    vocabulary = Vocabulary.load(model)
    replace(vocabulary, speech_fingerprint="another").save(model / "vocabulary.json")
    with pytest.raises(ValueError, match="writes the codes of another speech tokenizer"):
        build_interleaved(replace(config, model=model))
    with pytest.raises(ValueError, match=r"corpora.wiki.language=en but speakable.language=zh"):
        replace(config, speakable=replace(config.speakable, language="zh"))
    unnamed = {"wiki": replace(config.corpora["wiki"], language=None)}
    with pytest.raises(ValueError, match=r"spans.unit=words with speakable.language=zh"):
        replace(config, corpora=unnamed, speakable=replace(config.speakable, language="zh"))


def test_a_real_model_speaks_and_the_output_is_skipped_when_made(config):
    wiki = {"wiki": replace(config.corpora["wiki"], max_documents=2)}
    config = replace(config, corpora=wiki)
    made = run(config, "made")
    manifest = read_manifest(made)
    assert (manifest.licences, manifest.languages) == (("CC0-1.0",), ("en",))
    assert manifest.facts["documents"] == len(documents_of(config, made)) == 2
    before = (made / "manifest.json").stat().st_mtime_ns
    run(config, "made")
    assert (made / "manifest.json").stat().st_mtime_ns == before
