"""Evaluation with a model that has learnt the answers, one that cannot know them, and the arithmetic of the loss."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from megatron_speech.config.inspection.compare_evaluations import CompareEvaluationsConfig
from megatron_speech.config.stages.build_vocabulary import BuildVocabularyConfig
from megatron_speech.config.stages.evaluate import EvaluateConfig, GeoQaConfig, HeldOutConfig, SpokenCorpusConfig
from megatron_speech.data.shards.document import TokenDocument
from megatron_speech.data.shards.documents import write_documents
from megatron_speech.evaluation.comparison.scores import compared_scores
from megatron_speech.evaluation.harness import evaluate, identity_of, measure, power_table, read_items, run_task
from megatron_speech.evaluation.tasks.cloze import TASKS, read_cloze
from megatron_speech.evaluation.tasks.geo_qa import FORMS, GeoQaTask
from megatron_speech.evaluation.tasks.held_out import HeldOutTask
from megatron_speech.evaluation.tasks.likelihood import (
    PAIRS,
    Choice,
    SpokenText,
    choice_requests,
    choice_scores,
    credit,
    request_of,
)
from megatron_speech.inference.model import LanguageModel
from megatron_speech.metrics.bootstrap import Bootstrap
from megatron_speech.sequences.speech_tasks import recognition_document
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from megatron_speech.text_tokenizer.vocabulary_folder import build_vocabulary
from megatron_speech.vocabulary import Vocabulary
from tests.toys import tiny_llama, write_codes, write_jsonl, write_model

CODES = 32
ITEMS = {
    "cloze-0": ("Ada is tall.", "She grew.", "It rained.", "He slept."),
    "cloze-1": ("Bo has a dog.", "It barks.", "She sang.", "He left it."),
}
PARTS = ("context", "ending", *TASKS.values())
CAPITALS = {"Atlantis": "Poseidon", "Lilliput": "Mildendo", "Utopia": "Amaurot", "Laputa": "Lagado"}


def codes_of(text: str, reading: int = 0) -> np.ndarray:
    """Invented speech: two codes per three characters, another set in each reading."""
    return np.array([(ord(letter) + 7 * reading) % CODES for letter in text if ord(letter) % 3], np.int32)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Vocabulary, corpora and codes of two cloze items and four countries."""
    folder = tmp_path_factory.mktemp("evaluation")
    build_vocabulary(
        BuildVocabularyConfig(
            output=folder / "vocabulary", text="bytes", codebook_size=CODES, speech_fingerprint="tokenizer-a"
        )
    )
    cloze = [
        {"id": name, "text": texts[0], "metadata": dict(zip(PARTS[1:], texts[1:], strict=True))}
        for name, texts in ITEMS.items()
    ]
    questions = [
        {
            "id": country,
            "text": f"The capital of {country} is",
            "metadata": {
                "country": country,
                "group": "written_only" if country < "M" else "spoken",
                "answer": capital,
                "candidates": sorted(CAPITALS.values()),
            },
        }
        for country, capital in CAPITALS.items()
    ]
    for name, lines in (("cloze", cloze), ("questions", questions)):
        write_jsonl(folder / f"{name}.jsonl", *lines)
    spoken_cloze = [
        TokenDocument(key=f"{name}-{part}", tokens=codes_of(text), meta={"item": name, "part": part})
        for name, texts in ITEMS.items()
        for part, text in zip(PARTS, texts, strict=True)
    ]
    spoken_questions = [
        TokenDocument(
            key=f"{line['id']}-{reading}",
            tokens=codes_of(line["text"], reading),
            meta={"country": line["id"], "reading": reading},
        )
        for line in questions
        for reading in (0, 1)
    ]
    spoken_answers = [
        TokenDocument(key=capital, tokens=codes_of(capital), meta={"answer": capital}) for capital in CAPITALS.values()
    ]
    spoken = {"cloze": spoken_cloze, "questions": spoken_questions, "answers": spoken_answers}
    for name, documents in spoken.items():
        write_codes(folder / "codes" / name, documents, num_codes=CODES, fingerprint="tokenizer-a")
    return folder


def random_model(files: Path) -> LanguageModel:
    vocabulary = Vocabulary.load(files / "vocabulary")
    network = tiny_llama(vocabulary, hidden_size=64, intermediate_size=128)
    return LanguageModel(network=network, tokenizer=TextTokenizer.load(files / "vocabulary"), vocabulary=vocabulary)


def settings(files: Path, **held_out) -> EvaluateConfig:
    return EvaluateConfig(
        model=files / "hf",
        output=files / "result",
        cloze=SpokenCorpusConfig(texts=files / "cloze.jsonl", codes=files / "codes" / "cloze"),
        geo_qa=GeoQaConfig(
            texts=files / "questions.jsonl", codes=files / "codes" / "questions", answers=files / "codes" / "answers"
        ),
        held_out=HeldOutConfig(**held_out),
        resamples=200,
    )


def learn_answers(model: LanguageModel) -> None:
    """A few steps on the right continuations, laid out as they are asked."""
    requests = []
    for texts in ITEMS.values():
        context, ending = (SpokenText(text, codes_of(text)) for text in texts[:2])
        requests += [request_of(model, context, ending, pair) for pair in PAIRS]
    for country, capital in CAPITALS.items():
        text = f"The capital of {country} is"
        answer = SpokenText(capital, codes_of(capital))
        requests += [request_of(model, SpokenText(text), answer, ("text", asked)) for asked in FORMS]
        for reading in (0, 1):
            spoken = SpokenText(text, codes_of(text, reading))
            requests += [request_of(model, spoken, answer, ("speech", asked)) for asked in FORMS]
    sequences = [torch.tensor([*given, *asked]) for given, asked in requests]
    tokens = torch.nn.utils.rnn.pad_sequence(sequences, batch_first=True)
    labels = torch.nn.utils.rnn.pad_sequence(sequences, batch_first=True, padding_value=-100)
    optimizer = torch.optim.Adam(model.network.parameters(), lr=3e-3)
    for _ in range(60):
        loss = model.network(input_ids=tokens, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def test_a_model_that_knows_the_answers_scores_one(files):
    model = random_model(files)
    learn_answers(model)
    config = settings(files)
    results, records = measure(model, read_items(config, model.vocabulary), config)
    for task in TASKS:
        assert {name: estimate["value"] for name, estimate in results["cloze"][task].items()} == {
            "text->text": 1.0,
            "text->speech": 1.0,
            "speech->text": 1.0,
            "speech->speech": 1.0,
        }
    for form in ("text->text", "speech->text", "text->speech", "speech->speech"):
        assert {group: e["value"] for group, e in results["geo_qa"][form].items()} == {"written_only": 1, "spoken": 1}
        assert sum(estimate["items"] for estimate in results["geo_qa"][form].values()) == 4
    # Two tasks x four pairs x two items, and every country once in writing and twice aloud, answered in both.
    assert len(records) == 2 * 4 * 2 + 4 * 3 * 2 and all(record["credit"] == 1 for record in records)


def test_a_model_that_cannot_tell_scores_chance(files):
    model = random_model(files)
    torch.nn.init.zeros_(model.network.lm_head.weight)  # every token as likely as any other
    choices = [Choice(SpokenText("Who?"), [SpokenText(name) for name in ("Ann", "Bob", "Eve", "Joe")])]
    answers = model.token_log_probabilities(choice_requests(model, choices, ("text", "text")))
    assert [credit(row) for row in choice_scores([4], answers, per="continuation")] == [0.25]
    config = settings(files)
    results, _ = measure(model, read_items(config, model.vocabulary), config)
    assert results["cloze"]["WikiTopicCloze"]["speech->speech"]["value"] == 0.5


def test_credit_shares_the_first_place():
    assert [credit(s) for s in ([1, 0], [0, 1], [1, 1], [2, 2, 1, 2], [0, 0, 1])] == [1, 0, 0.5, 1 / 3, 0]


def test_layouts_are_those_of_interleaved_training(files):
    model = random_model(files)
    begin, end, first = 257, 258, model.vocabulary.first_speech_id
    heard, said = SpokenText("ab", np.array([1, 2])), SpokenText("cd", np.array([3]))
    written, answer = list(b"ab"), list(b" cd")
    assert request_of(model, heard, said, ("text", "text")) == (written, answer)
    assert request_of(model, heard, said, ("text", "speech")) == ([*written, begin], [first + 3])
    assert request_of(model, heard, said, ("speech", "text")) == ([begin, first + 1, first + 2, end], answer)
    assert request_of(model, heard, said, ("speech", "speech")) == ([begin, first + 1, first + 2], [first + 3])


def test_held_out_loss_is_the_mean_over_scored_tokens_by_modality(files, tmp_path):
    model = random_model(files)
    vocabulary, random = model.vocabulary, np.random.default_rng(0)
    mixed = [
        TokenDocument(key=f"d{i}", tokens=random.permutation(vocabulary.size).astype(np.int32)[:20] % 300)
        for i in range(3)
    ]
    mixed = [d for d in mixed if vocabulary.end_of_document not in d.tokens]
    task = recognition_document("r", text_ids=[65, 66], codes=np.array([1, 2, 3]), vocabulary=vocabulary)
    for name, documents in (("interleaved", mixed), ("recognition", [task])):
        write_documents(tmp_path / name, documents, vocabulary=vocabulary, name=name)
    config = HeldOutConfig(sources={name: tmp_path / name for name in ("interleaved", "recognition")})
    task = HeldOutTask(config)
    results, _ = run_task(model, task, task.items(vocabulary), Bootstrap(resamples=200), name="held_out")
    losses: dict[str, list[float]] = {"text": [], "speech": []}
    for document in mixed:
        ids = torch.tensor([*document.tokens, vocabulary.end_of_document])
        with torch.no_grad():
            log_probabilities = model.network(ids[None]).logits[0].double().log_softmax(-1)
        for place in range(1, len(ids)):
            modality = "speech" if int(ids[place]) in vocabulary.speech_ids else "text"
            losses[modality].append(-float(log_probabilities[place - 1, ids[place]]))
    for modality, values in losses.items():
        estimate = results["interleaved"][modality]
        assert estimate["value"] == pytest.approx(np.mean(values), abs=1e-5) and estimate["tokens"] == len(values)
    # Only the transcript and the end of the document are scored in a recognition document.
    assert results["recognition"]["text"]["tokens"] == 3 and "speech" not in results["recognition"]


def test_the_stage_writes_its_results_once(files, tmp_path):
    model = write_model(tmp_path / "hf", files / "vocabulary")
    config = replace(settings(files), model=model, output=tmp_path / "result", geo_qa=None)
    evaluate(config)
    results = json.loads((config.output / "evaluation.json").read_text())
    assert set(results["cloze"]) == {*TASKS, "chance", "score"} and "geo_qa" not in results
    assert len((config.output / "items.jsonl").read_text().splitlines()) == 16
    protocols = json.loads((config.output / "protocol.json").read_text())
    assert protocols["cloze"]["chance"] == dict.fromkeys(TASKS, 0.5) and [*protocols] == ["cloze", "held_out"]
    assert [*protocols["cloze"]["data"]] == ["cloze.jsonl", "cloze"] and protocols["held_out"]["data"] == {}
    (score, *_) = compared_scores(CompareEvaluationsConfig(evaluations=[config.output] * 2))
    assert score.items == len(ITEMS) and score.differences[0].value == 0
    before = (config.output / "manifest.json").stat().st_mtime_ns
    evaluate(config)
    assert (config.output / "manifest.json").stat().st_mtime_ns == before


def test_the_power_of_a_comparison_is_told_before_a_run():
    assert list(power_table({"cloze": 1000})) == [
        "cloze: 1000 items; two models are told apart (80 % power) from 4.0 points if 20% of their answers differ, "
        "from 5.6 if 40% do"
    ]


def test_codes_of_another_speech_tokenizer_are_refused(files):
    other = Vocabulary.of_codes(CODES, "tokenizer-b")
    config = SpokenCorpusConfig(texts=files / "cloze.jsonl", codes=files / "codes" / "cloze")
    with pytest.raises(ValueError, match="fingerprint"):
        read_cloze(config, other)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"id": "q", "text": "t", "metadata": {"group": "spoken", "answer": "A", "candidates": ["B"] * 4}}, "four"),
        ({"id": "q", "text": "t", "metadata": {"group": "", "answer": "A", "candidates": [*"ABCD"]}}, "group"),
    ],
)
def test_malformed_questions_are_named(files, tmp_path, line, message):
    texts = write_jsonl(tmp_path / "questions.jsonl", line)
    config = settings(files)
    geo_qa = GeoQaConfig(texts=texts, codes=files / "codes" / "questions")
    with pytest.raises(ValueError, match=rf"'q'.*{message}"):
        read_items(replace(config, geo_qa=geo_qa), Vocabulary.load(files / "vocabulary"))


def test_a_candidate_without_codes_is_named(files, tmp_path):
    config, vocabulary = settings(files), Vocabulary.load(files / "vocabulary")
    few = [TokenDocument(key="a", tokens=codes_of("Lagado"), meta={"answer": "Lagado"})]
    write_codes(tmp_path / "few", few, num_codes=CODES, fingerprint="tokenizer-a")
    with pytest.raises(ValueError, match=r"few lacks 'Poseidon', a candidate of question 'Atlantis'; encode it"):
        read_items(replace(config, geo_qa=replace(config.geo_qa, answers=tmp_path / "few")), vocabulary)
    written = replace(config.geo_qa, answers=None)
    assert GeoQaTask(written).pairs == [("text", "text"), ("speech", "text")], "answers are only written"


def test_mistakes_are_found_before_the_weights_are_read(files, tmp_path):
    model = write_model(tmp_path / "hf", files / "vocabulary")
    (model / "model.safetensors").unlink()
    config = replace(settings(files), model=model, output=tmp_path / "result")
    lost = GeoQaConfig(texts=tmp_path / "lost.jsonl", codes=files / "codes" / "questions")
    with pytest.raises(FileNotFoundError, match=r"lost\.jsonl does not exist"):
        evaluate(replace(config, geo_qa=lost))
    with pytest.raises(ValueError, match="vocabulary fingerprint"):
        evaluate(replace(config, held_out=HeldOutConfig(sources={"speech": files / "codes" / "cloze"})))


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        (
            {"story": {}},
            r"^tasks\.story: no such evaluation task; the tasks are cloze, choices, geo_qa, held_out, "
            "questions, recognition, synthesis$",
        ),
        ({"cloze": {}}, r"^tasks\.cloze: has a section of its own; write cloze without tasks$"),
    ],
)
def test_tasks_that_are_not_in_the_table_are_refused(files, tasks, message):
    with pytest.raises(ValueError, match=message):
        evaluate(replace(settings(files), tasks=tasks))


def test_the_device_is_part_of_an_evaluation_only_where_it_is_no_cpu(files):
    assert identity_of(replace(settings(files), device="auto"))["device"] == "auto"
    with pytest.raises(ValueError, match=r"^device='gpu' is unknown; use auto, cpu, cuda or cuda:<number>$"):
        replace(settings(files), device="gpu")


def test_an_evaluation_without_further_tasks_is_identified_as_before_they_were_possible(files):
    assert list(identity_of(settings(files))) == [
        *("model", "output", "cloze", "geo_qa", "held_out", "dtype", "resamples", "seed"),
    ]
