"""The table of scores: one line per estimate, whatever the task, with its chance and the number of items."""

from __future__ import annotations

from megatron_speech.evaluation.score_table import LOSS, score_table


def estimate(value: float, items: int) -> dict[str, float]:
    return {"value": value, "low": value - 0.1, "high": value + 0.1, "items": items}


def test_every_estimate_is_a_line_with_its_chance() -> None:
    results = {
        "model": "hf",
        "cloze": {"WikiTopicCloze": {"text->text": estimate(0.75, 1200)}, "chance": 0.5, "score": "per token"},
        "held_out": {"books": {"documents": 4, "text": {**estimate(2.5, 4), "tokens": 99}}},
        "own": estimate(0.3, 7),
        "dtype": "float32",
    }
    head, *lines, last = score_table(results)
    assert head.split("  ")[0] == "task" and head.split()[-1] == "n"
    assert [line.split() for line in lines] == [
        ["cloze", "WikiTopicCloze", "text->text", "0.7500", "0.6500", "to", "0.8500", "0.5", "1,200"],
        ["held_out", "books", "text", "2.5000", "2.4000", "to", "2.6000", "-", "4"],
        ["own", "-", "0.3000", "0.2000", "to", "0.4000", "-", "7"],
    ]
    assert last == LOSS
    assert len({len(line) for line in [head, *lines]}) == 1


def test_without_losses_nothing_is_said_of_them() -> None:
    assert len(score_table({"own": estimate(0.3, 7)})) == 2
