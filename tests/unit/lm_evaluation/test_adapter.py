"""In lm-evaluation-harness, our models say what its own Hugging Face models say of the same export.

The harness is no part of the tests' own packages: it brings forty others. To run these tests:

    python3 -m venv lm_eval && lm_eval/bin/pip install -c tools/constraints.txt -e '.[lm-eval,dev]' 'lm_eval[hf]'
    lm_eval/bin/python -m pytest tests/unit/lm_evaluation tests/unit/metrics/test_likelihood_scores.py
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.toy_text_models import export, import_text_model, text_model
from tests.toys import write_jsonl

pytest.importorskip("lm_eval", reason="needs the extra [lm-eval]: pip install -c tools/constraints.txt -e '.[lm-eval]'")
POSITIONS = 96
TEXTS = ["The river is long.", "Kühe geben Milch, ", "北京是首都", "a", "It rained all night; the street was wet. " * 5]
CHOICES = [" and it ends in the sea.", " Gras.", "。", "b", " Cats purr."]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model as checkpoint and export."""
    folder = tmp_path_factory.mktemp("adapter")
    text_model(folder / "text", "llama", tied=False, max_position_embeddings=POSITIONS)
    base, _ = import_text_model(folder)
    export(folder, base)
    return folder


@pytest.fixture(scope="module")
def models(folder: Path) -> tuple[Any, Any]:
    """Ours, and the harness's own."""
    from lm_eval.models.huggingface import HFLM

    from megatron_speech.lm_evaluation.adapter import MegatronSpeechLM

    theirs = HFLM(pretrained=str(folder / "hf"), dtype="float32", device="cpu", batch_size=3)
    return MegatronSpeechLM(pretrained=str(folder / "hf"), batch_size=3), theirs


def instances(kind: str, *arguments: tuple[Any, ...]) -> list[Any]:
    from lm_eval.api.instance import Instance

    return [Instance(kind, {}, each, number) for number, each in enumerate(arguments)]


def test_continuations_have_the_scores_of_the_hf_backend(models):
    ours, theirs = models
    pairs = [(text, choice) for text in ["", *TEXTS] for choice in CHOICES]
    found, expected = (
        model.loglikelihood(instances("loglikelihood", *pairs), disable_tqdm=True) for model in (ours, theirs)
    )
    assert len(found) == 30
    for (score, chosen), (wanted, most_likely) in zip(found, expected, strict=True):
        assert abs(score - wanted) < 1e-4 and chosen == most_likely
    context = ours.tok_encode("The river")
    (greedy,) = ours.network.write([context], settings(5), batch_size=1, enough=lambda place, tokens: False)
    requests = [(None, context, greedy), (None, context, [*greedy[:-1], (greedy[-1] + 1) % 250])]
    scored = [model._loglikelihood_tokens(requests) for model in models]  # noqa: SLF001 - ids that no text has
    flags = [[chosen for _, chosen in scores] for scores in scored]
    assert flags == [[True, False], [True, False]]


def settings(most: int) -> Any:
    from megatron_speech.inference.sampling import Sampling
    from megatron_speech.inference.slot import AnswerSettings

    return AnswerSettings(max_new_tokens=most, stop=[256], sampling=Sampling(temperature=0.0))


def test_whole_texts_have_the_scores_of_the_hf_backend(models):
    ours, theirs = models
    texts = [*TEXTS, "A text of several windows, each as long as the model can read. " * 6]
    asked = instances("loglikelihood_rolling", *((text,) for text in texts))
    found, expected = (model.loglikelihood_rolling(asked, disable_tqdm=True) for model in (ours, theirs))
    assert found == pytest.approx(expected, abs=1e-4)


def test_written_answers_are_those_of_the_hf_backend(models):
    ours, theirs = models
    free = [(text, {"until": [], "max_gen_toks": 24, "do_sample": False}) for text in TEXTS]
    found = ours.generate_until(instances("generate_until", *free), disable_tqdm=True)
    stops = sorted({text[len(text) // 2] for text in found if text})
    assert stops, "the random model writes text"
    asked = [*free, *((text, {"until": stops[:2], "max_gen_toks": 30}) for text in TEXTS)]
    both = [model.generate_until(instances("generate_until", *asked), disable_tqdm=True) for model in (ours, theirs)]
    assert both[0] == both[1] and both[0][: len(free)] == found
    assert not any(stop in text for text in both[0][len(free) :] for stop in stops[:2])


def task(kind: str, data: Path, metric: str, **more: Any) -> Any:
    from lm_eval.api.task import ConfigurableTask

    shared = {"dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(data)}}, "test_split": "test"}
    return ConfigurableTask(
        config={**shared, "task": kind, "output_type": kind, "metric_list": [{"metric": metric}], **more}
    )


def tasks(folder: Path) -> list[Any]:
    """One task of each of the three types."""
    data = folder / "data.jsonl"
    write_jsonl(data, *({"text": text, "choices": CHOICES, "gold": number} for number, text in enumerate(TEXTS)))
    asked = {"doc_to_text": "text", "doc_to_target": "gold"}
    until = {"until": ["\n"], "max_gen_toks": 8}
    return [
        task("multiple_choice", data, "acc", **asked, doc_to_choice="choices"),
        task("loglikelihood_rolling", data, "byte_perplexity", doc_to_text="", doc_to_target="text"),
        task("generate_until", data, "exact_match", **asked, generation_kwargs=until),
    ]


def test_tasks_of_the_harness_get_the_answers_of_the_hf_backend(models, tmp_path):
    import lm_eval

    found, expected = (
        lm_eval.simple_evaluate(model=model, tasks=tasks(tmp_path), bootstrap_iters=0) for model in models
    )
    assert [*found["samples"]] == ["multiple_choice", "loglikelihood_rolling", "generate_until"]
    for name, samples in found["samples"].items():
        for ours, theirs in zip(samples, expected["samples"][name], strict=True):
            assert numbers_in(ours["resps"]) == pytest.approx(numbers_in(theirs["resps"]), abs=1e-4)
            assert name != "generate_until" or ours["resps"] == theirs["resps"]
    for name, results in found["results"].items():
        for metric, value in results.items():
            assert value == pytest.approx(expected["results"][name][metric], abs=1e-4), (name, metric)


def numbers_in(answers: Any) -> list[float]:
    """All numbers in nested lists, in order."""
    if isinstance(answers, list | tuple):
        return [number for each in answers for number in numbers_in(each)]
    return [float(answers)] if isinstance(answers, int | float) else []


def test_settings_that_contradict_each_other_are_refused(folder):
    from megatron_speech.lm_evaluation.adapter import MegatronSpeechLM

    hf = str(folder / "hf")
    for given, says in (
        ({}, "name either pretrained=FOLDER of an export, or checkpoint=FOLDER"),
        ({"pretrained": hf, "checkpoint": hf}, "name either pretrained"),
        ({"checkpoint": str(folder / "base")}, "needs vocabulary=FOLDER"),
        ({"pretrained": hf, "batch_size": "auto"}, "batch_size=auto must be a number"),
    ):
        with pytest.raises(ValueError, match=says):
            MegatronSpeechLM(**given)
    model = MegatronSpeechLM(pretrained=hf)
    with pytest.raises(ValueError, match=f"max_gen_toks=200 must be 1 to {POSITIONS - 1}"):
        model.generate_until(instances("generate_until", ("a", {"max_gen_toks": 200})))


def test_settings_of_the_model_win_over_what_the_harness_adds(folder):
    """It adds a GPU and one answer at a time, whatever the machine has and the settings say."""
    from megatron_speech.lm_evaluation.adapter import MegatronSpeechLM

    added = {"batch_size": 1, "max_batch_size": None, "device": "cuda:0"}
    for given, size in (("", 1), (",batch_size=3,device=cpu", 3)):
        model = MegatronSpeechLM.create_from_arg_string(f"pretrained={folder / 'hf'}{given}", added)
        assert model.batch_size == size and (model.device.type == "cpu" or not given)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("", r"model_args: name either pretrained=FOLDER of an export, or checkpoint=FOLDER"),
        ("pretraind={hf}", r"model_args: pretraind is unknown; did you mean 'pretrained'\?"),
        ("pretrained={hf},speed=fast", r"model_args: speed is unknown; the settings are pretrained, checkpoint,"),
        ("pretrained=nowhere", r"nowhere"),
        ("pretrained={vocabulary}", r"vocabulary.*config\.json"),
        ("pretrained={hf},dtype=float8", r"dtype=float8 must be one of auto, float32, bfloat16"),
        ("pretrained={hf},device=tpu", r"device=tpu"),
        ("pretrained={hf},max_length=0", r"model_args: max_length=0 must be a whole number of at least 1"),
        ("pretrained={hf},max_length=-5", r"model_args: max_length=-5 must be a whole number"),
        ("pretrained={hf},max_length=long", r"model_args: max_length=long must be a whole number"),
        ("pretrained={hf},max_length=4096", rf"max_length=4096 exceeds the {POSITIONS} positions of the model"),
        ("pretrained={hf},max_gen_toks=2.5", r"model_args: max_gen_toks=2.5 must be a whole number"),
        ("checkpoint=nowhere,vocabulary={vocabulary}", r"nowhere"),
        ("checkpoint={base},vocabulary=nowhere", r"nowhere"),
        ("checkpoint={base}", r"needs vocabulary=FOLDER"),
        ("checkpoint={base},vocabulary={vocabulary},tensor_model_parallel_size=two", r"tensor_model_parallel_size=two"),
        (
            "checkpoint={base},vocabulary={vocabulary},tensor_model_parallel_size=2",
            r"does not divide the world of 1 ranks",
        ),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(folder, capsys, monkeypatch, tmp_path, given, says):
    """The harness makes the model from the words behind --model_args; here it does nothing else."""
    import lm_eval.__main__

    from megatron_speech.lm_evaluation.__main__ import main
    from megatron_speech.lm_evaluation.adapter import MegatronSpeechLM

    words = given.format(**{name: folder / name for name in ("hf", "base", "vocabulary")})
    monkeypatch.setattr(
        lm_eval.__main__,
        "cli_evaluate",
        lambda: MegatronSpeechLM.create_from_arg_string(words, {"batch_size": 1, "device": "cuda:0"}),
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        main()
    *_, line = capsys.readouterr().err.splitlines()
    assert left.value.code == 2 and line.startswith("error: ") and re.search(says, line), line


def test_samples_differ_and_come_again(models):
    asked = ("The river", {"do_sample": True, "temperature": 0.9, "max_gen_toks": 6})
    written = [models[0].generate_until(instances("generate_until", *[asked] * 3)) for _ in range(2)]
    assert written[0] == written[1] and len({*written[0]}) > 1
    with pytest.raises(ValueError, match=r"generation_kwargs\.top_k: only until, max_gen_toks, do_sample, temperature"):
        models[0].generate_until(instances("generate_until", (asked[0], {**asked[1], "top_k": 3})))


@pytest.mark.parametrize("where", ["export", "checkpoint", "tensor 2", "pipeline 2"])
def test_the_command_line_scores_exports_and_checkpoints_alike(folder, models, tmp_path, where):
    root = Path(__file__).resolve().parents[3]
    (tmp_path / "tasks").mkdir()
    write_jsonl(tmp_path / "data.jsonl", *({"q": text, "choices": CHOICES, "gold": 0} for text in TEXTS))
    (tmp_path / "tasks" / "toy.yaml").write_text(
        json.dumps(
            {
                "task": "toy_choices",
                "dataset_path": "json",
                "test_split": "test",
                "doc_to_text": "q",
                "dataset_kwargs": {"data_files": {"test": str(tmp_path / "data.jsonl")}},
                "doc_to_target": "gold",
                "output_type": "multiple_choice",
                "doc_to_choice": "choices",
                "metric_list": [{"metric": "acc"}],
            }
        )
    )
    module = ["-m", "megatron_speech.lm_evaluation"]
    ranks = [*("-m", "megatron_speech.commands", "launch", "--standalone", "--nproc-per-node", "2"), *module]
    of = f"checkpoint={folder / 'base'},vocabulary={folder / 'vocabulary'}"
    start, given = {
        "export": (module, f"pretrained={folder / 'hf'}"),
        "checkpoint": (module, of),
        "tensor 2": (ranks, f"{of},tensor_model_parallel_size=2"),
        "pipeline 2": (ranks, f"{of},pipeline_model_parallel_size=2"),
    }[where]
    words = ["run", "--model", "megatron_speech", "--model_args", given, "--tasks", "toy_choices", "--log_samples"]
    words += ["--include_path", str(tmp_path / "tasks"), "--output_path", str(tmp_path / "out")]
    environment = {**os.environ, "PYTHONPATH": str(root), "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, *start, *words], capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=900
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    (samples,) = (tmp_path / "out").rglob("samples_toy_choices_*.jsonl")
    scores = sorted(
        (record["doc_id"], [float(each[0][0]) for each in record["resps"]])
        for record in map(json.loads, samples.read_text().splitlines())
    )
    pairs = [(text, f" {choice}") for text in TEXTS for choice in CHOICES]
    expected = models[1].loglikelihood(instances("loglikelihood", *pairs), disable_tqdm=True)
    wanted = [score for score, _ in expected]
    assert [score for _, found in scores for score in found] == pytest.approx(wanted, abs=1e-4)
