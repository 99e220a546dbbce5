"""Judges are asked once, in every order, and believed only if they give a verdict."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from megatron_speech.commands.main import run
from megatron_speech.commands.table import COMMANDS
from megatron_speech.config.inspection.compare_evaluations import CompareEvaluationsConfig
from megatron_speech.config.inspection.judge import EndpointConfig
from megatron_speech.evaluation.comparison.compare import compare_evaluations
from megatron_speech.evaluation.comparison.scores import compared_scores
from megatron_speech.evaluation.judging.judge import judge
from megatron_speech.evaluation.judging.prompts import load_prompt
from megatron_speech.metrics.agreement import cohen_kappa
from tests.servers import judging
from tests.unit.evaluation.judging import PROTOCOL, SAID, Messages, answers, config_of, judged, knows, words_of


def test_verdicts_become_credits_and_what_was_not_answered_stays_wrong(tmp_path):
    answers(tmp_path / "answers")
    with judging(knows) as server:
        results, records, protocol = judged(config_of(tmp_path, server))
    credits = {item: record["credit"] for item, record in records.items()}
    assert credits == {"oslo": 1, "rome": 0, "lima": 1, "cairo": 0, "quito": 1}
    assert records["cairo"]["reason"] == "no answer" and "verdicts" not in records["cairo"]
    assert records["oslo"]["verdicts"] == {"toy": ["right"]} and records["rome"]["verdicts"] == {"toy": ["wrong"]}
    way = results["questions"]["capitals"]["text->text"]
    assert (
        way["right_answer"]["value"] == 0.6 and way["right_answer"]["items"] == 5 and way["wrong"] == {"no answer": 1}
    )
    assert results["judges"]["toy"] == {
        "model": "toy",
        "answered_by": ["toy-2026-01-01"],
        "replies": 4,
        "unread": 0,
        "refused": {},
    }
    assert protocol["judge"] == {
        "prompt": "right_answer",
        "sha256": load_prompt("right_answer").sha256,
        "model": "toy",
        "n": 1,
        "answered_by": ["toy-2026-01-01"],
        "temperature": 0.0,
        "options": {},
    }
    assert protocol["decoding"] == "greedy" and "matcher" not in protocol and protocol["id"] != PROTOCOL["id"]
    request = server.asked[0]
    assert request.keys() == {"model", "messages", "temperature"} and request["temperature"] == 0
    assert "Where is" in request["messages"][1]["content"] and server.keys == [None] * 4


def test_what_was_asked_is_not_asked_again(tmp_path):
    answers(tmp_path / "answers")
    with judging(knows) as server:
        config = config_of(tmp_path, server)
        first = judged(config)
        judge(config)  # done
        again = judged(replace(config, output=tmp_path / "again", at_once=1))
        assert again == first and len(server.asked) == 4
        more = judged(replace(config, output=tmp_path / "more", n=3))
        assert len(server.asked) == 4 + 8 and more[1]["oslo"]["verdicts"] == {"toy": ["right"] * 3}
        judged(replace(config, output=tmp_path / "warm", temperature=1.0))
        assert len(server.asked) == 4 + 8 + 4 and server.asked[-1]["temperature"] == 1


def test_equal_answers_are_judged_once(tmp_path):
    answers(tmp_path / "answers", dict.fromkeys(("a", "b", "c"), "A"), question="Which?", accepted=["A"])
    with judging(knows) as server:
        _, records, _ = judged(config_of(tmp_path, server))
        assert len(server.asked) == 1 and [record["credit"] for record in records.values()] == [1, 1, 1]


def test_replies_are_averaged(tmp_path):
    answers(tmp_path / "answers", {"a": "A"})
    replies = iter(["fine\n5", "Score: 4", "who knows", "2"])
    with judging(lambda messages: next(replies)) as server:
        config = config_of(tmp_path, server, prompt="rating", n=4, temperature=0.5, at_once=1)
        results, records, protocol = judged(config)
    assert records["a"]["verdicts"] == {"toy": ["5", "4", None, "2"]} and records["a"]["unread"] == ["who knows"]
    assert records["a"]["credit"] == pytest.approx((1 + 0.8 + 0.4) / 3, abs=1e-6)
    assert results["judges"]["toy"]["unread"] == 1
    assert (protocol["judge"]["n"], protocol["judge"]["temperature"]) == (4, 0.5)


def test_nonsense_is_counted_with_its_reason(tmp_path):
    answers(tmp_path / "answers")

    def confused(messages: Messages) -> str:
        return "The answer is right, or is it wrong?" if "lima" in messages[-1]["content"] else knows(messages)

    with judging(confused) as server:
        results, records, _ = judged(config_of(tmp_path, server))
    assert records["lima"]["credit"] == 0 and records["lima"]["reason"] == "no verdict"
    assert records["lima"]["unread"] == ["The answer is right, or is it wrong?"]
    way = results["questions"]["capitals"]["text->text"]
    assert way["wrong"] == {"no answer": 1, "no verdict": 1} and way["right_answer"]["items"] == 5


def test_a_judge_without_any_verdict_is_one_line(tmp_path, capsys):
    answers(tmp_path / "answers")
    with judging(lambda messages: "I am a teapot.") as server, pytest.raises(SystemExit) as left:
        run(COMMANDS["judge"], words_of(config_of(tmp_path, server)))
    error = capsys.readouterr().err.splitlines()[-1]
    assert left.value.code == 2 and not (tmp_path / "judged").exists()
    assert error.startswith("error: judges.toy: the last line of no reply is a verdict (right, wrong), it said 'I am a")


def prefers_first_of_equals(messages: Messages) -> str:
    """Prefers the longer answer, and the first of two that are equally long."""
    asked = messages[-1]["content"]
    first, second = (re.search(rf"{name} answer: (.*)", asked)[1] for name in ("First", "Second"))
    return "tie" if first == second else "first" if len(first) >= len(second) else "second"


def test_pairs_are_asked_in_both_orders(tmp_path):
    ours = {"a": "long answer", "b": "x", "c": "left", "d": None, "e": "kept", "f": None, "g": "same"}
    theirs = {"a": "short", "b": "long answer", "c": "hand", "d": "any", "e": None, "f": None, "g": "same"}
    answers(tmp_path / "answers", ours), answers(tmp_path / "others", theirs)
    with judging(prefers_first_of_equals) as server:
        config = config_of(tmp_path, server, prompt="better_answer", against=tmp_path / "others")
        results, records, protocol = judged(config)
        turned, mirrored, _ = judged(
            replace(config, evaluation=config.against, against=config.evaluation, output=tmp_path / "mirrored")
        )
        asked = len(server.asked)
    assert {item: record["credit"] for item, record in records.items()} == {
        "a": 1,
        "b": 0,
        "c": 0.5,
        "d": 0,
        "e": 1,
        "f": 0.5,
        "g": 0.5,
    }
    assert records["a"]["verdicts"] == {"toy": [["first"], ["second"]]}
    assert records["c"]["verdicts"] == {"toy": [["first"], ["first"]]} and records["c"]["turned"]
    assert all(record["credit"] == 1 - records[item]["credit"] for item, record in mirrored.items())
    assert asked == 7  # a, b and c in two orders, g in one; the mirrored comparison asks the same
    way = results["questions"]["capitals"]["text->text"]
    assert way["order_decides"] == 0.25 and way["not_compared"] == {"no answer": 3}
    assert results["questions"]["chance"] == 0.5 and protocol["chance"] == {"capitals": 0.5}
    assert turned["questions"]["capitals"]["text->text"]["better_answer"]["value"] == 0.5


def test_two_judges_agree_as_far_as_they_do(tmp_path):
    items = [f"i{number:02d}" for number in range(50)]
    answers(tmp_path / "answers", dict.fromkeys(items, "A"))

    def of(right: range, more: range) -> Callable[[Messages], str]:
        def reply(messages: Messages) -> str:
            number = int(re.search(r"Where is i(\d+)", messages[-1]["content"])[1])
            return "right" if number in right or number in more else "wrong"

        return reply

    # Cohen's own shape: 20 times both right, 5 and 10 times one of them, 15 times neither.
    with judging(of(range(25), range(0))) as one, judging(of(range(20), range(25, 35))) as two:
        judges = {name: EndpointConfig(base_url=each.url, model="m") for name, each in (("one", one), ("two", two))}
        results, records, protocol = judged(config_of(tmp_path, one, judges=judges))
    assert results["agreement"] == {"one, two": {"items": 50, "same": 35, "share": 0.7, "kappa": 0.4}}
    assert sum(record["credit"] for record in records.values()) == 25 and len(two.asked) == 50
    assert protocol["judge"]["answered_by"] == ["toy-2026-01-01"]


def test_kappa_of_known_tables():
    assert cohen_kappa("aabb", "aabb") == 1 and cohen_kappa("ab", "ba") == -1 and cohen_kappa("aa", "aa") is None
    assert cohen_kappa("aabb", "abab") == 0
    table = {("a", "a"): 10, ("a", "b"): 4, ("b", "b"): 9, ("b", "c"): 3, ("c", "a"): 2, ("c", "c"): 12}
    first, second = zip(*(pair for pair, count in table.items() for _ in range(count)), strict=True)
    chance = (14 * 12 + 12 * 13 + 14 * 15) / 40**2  # row sums 14, 12, 14; column sums 12, 13, 15
    assert cohen_kappa(first, second) == pytest.approx((31 / 40 - chance) / (1 - chance), abs=1e-12)


def test_comparing_sees_the_judge(tmp_path):
    answers(tmp_path / "answers"), answers(tmp_path / "others", {**SAID, "rome": "Rome"})
    with judging(knows) as server:
        config = config_of(tmp_path, server)
        judge(config), judge(replace(config, evaluation=tmp_path / "others", output=tmp_path / "b"))
        both = CompareEvaluationsConfig(evaluations=[config.output, tmp_path / "b"])
        (score,) = compared_scores(both)
        assert (score.task, score.items, score.differences[0].value, score.p) == ("capitals", 5, 0.2, [1.0])
        server.answered_by = "toy-2026-02-02"
        newer = replace(config, evaluation=tmp_path / "others", cache=tmp_path / "fresh", output=tmp_path / "newer")
        judge(newer)
    for other, says in ((newer.output, r"questions\.judge\.answered_by: "), (config.evaluation, r"questions\.judge")):
        with pytest.raises(ValueError, match=rf"different protocols \(.*{says}"):
            compared_scores(replace(both, evaluations=[config.output, other]))
    accepted = replace(both, evaluations=[config.output, newer.output], accept=["judge"])
    assert len(list(compare_evaluations(accepted))) == 2


def test_items_that_no_judge_can_judge_are_counted(tmp_path):
    folder = answers(tmp_path / "answers")
    records = [json.loads(line) for line in (folder / "items.jsonl").read_text().splitlines()]
    del records[0]["accepted"]
    records[2]["question"] = None
    (folder / "items.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    with judging(knows) as server:
        results, records, _ = judged(config_of(tmp_path, server))
    assert {*records} == {"rome", "cairo", "quito"} and results["questions"]["capitals"]["unfit"] == 2
