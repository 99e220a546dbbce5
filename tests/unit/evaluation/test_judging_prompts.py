"""Prompts of judges: those of the package, and files of a user, which are checked."""

from __future__ import annotations

import pytest

from megatron_speech.evaluation.judging.prompts import load_prompt, names
from tests.servers import judging
from tests.unit.evaluation.judging import answers, config_of, judged


def test_prompts_of_the_package_are_told_by_name():
    assert names() == ["better_answer", "rating", "right_answer"]
    for name in names():
        prompt = load_prompt(name)
        values = dict.fromkeys(prompt.fields, "what costs $5?")
        assert "what costs $5?" in prompt.messages(values)[-1]["content"] and len(prompt.messages(values)) == 2
        assert prompt.compares == (name == "better_answer") and "question" in prompt.fields


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        *(("right", "right"), ("Because.\n\nRIGHT.", "right"), ("**Verdict:** `wrong`\n", "wrong"), ("", None)),
        *(("right\nor not", None), ("not right", None), ("right or wrong", None), ("Answer: right: no", None)),
        *(("right (I think)", None), ('{"verdict": "right"}', None), ("> right", "right"), ("right\n\n---\n", None)),
    ],
)
def test_a_verdict_stands_alone_in_the_last_line(reply, verdict):
    assert load_prompt("right_answer").verdict_of(reply) == verdict


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("user: $answer\nverdicts: {a: 1}\n", r"verdicts=\['a'\] must be at least two"),
        ("user: $answer\nverdicts: {a: 1, A: 0}\n", r"must be at least two different words"),
        ("user: $answer\nverdicts: {a: 2, b: 0}\n", r"verdicts\.a must be worth 0 to 1"),
        ("user: $answr\nverdicts: {a: 1, b: 0}\n", r"\$answr is no field; the fields are \$accepted, \$answer,"),
        ("user: $question\nverdicts: {a: 1, b: 0}\n", r"must have either \$answer, or \$first and \$second"),
        ("user: $answer $first\nverdicts: {a: 1, b: 0}\n", r"must have either \$answer"),
        ("user: $answer costs $ 5\nverdicts: {a: 1, b: 0}\n", r"write \$\$ for a dollar"),
        ("user: $answer\nverdict: {a: 1, b: 0}\n", r"verdict: no such key; did you mean 'verdicts'"),
        ("user: [\n", r"own\.yaml:2: not YAML"),
        ("- a\n", r"must have the keys user and verdicts"),
    ],
)
def test_a_prompt_of_ones_own_is_checked(tmp_path, text, says):
    file = tmp_path / "own.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=says) as told:
        load_prompt(str(file))
    assert str(file) in str(told.value)


def test_a_prompt_of_ones_own_judges(tmp_path):
    answers(tmp_path / "answers")
    file = tmp_path / "polite.yaml"
    file.write_text("user: 'Polite? $answer'\nverdicts: {yes: 1, no: 0}\n")
    with judging(lambda messages: "no" if "think" in messages[-1]["content"] else "yes") as server:
        results, _, protocol = judged(config_of(tmp_path, server, prompt=str(file)))
    assert results["questions"]["capitals"]["text->text"]["polite"]["value"] == 0.6
    assert protocol["judge"]["prompt"] == "polite" and len(server.asked[0]["messages"]) == 1
