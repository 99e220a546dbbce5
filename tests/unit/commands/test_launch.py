"""What several ranks run: a verb as well as a script, with torchrun's own options before it."""

from __future__ import annotations

import pytest

from megatron_speech.commands.launch import for_torchrun

_OWN = ["--standalone", "--nproc-per-node", "2"]


@pytest.mark.parametrize(
    ("given", "started"),
    [
        (["pretrain", "--config", "run.yaml"], ["-m", "megatron_speech.commands", "pretrain", "--config", "run.yaml"]),
        (["train-text-to-token"], ["-m", "megatron_speech.commands", "train_text_to_token"]),
        (["pretrain", "pretrain"], ["-m", "megatron_speech.commands", "pretrain", "pretrain"]),
        (["tools/pretrain.py", "--config", "pretrain"], ["tools/pretrain.py", "--config", "pretrain"]),
        (["tool.py"], ["tool.py"]),
        (["-m", "pretrain", "--config", "run.yaml"], ["-m", "pretrain", "--config", "run.yaml"]),
        (["--no-python", "pretrain"], ["--no-python", "pretrain"]),
    ],
)
def test_a_verb_becomes_its_module_and_all_else_stays(given: list[str], started: list[str]) -> None:
    assert for_torchrun([*_OWN, *given]) == [*_OWN, *started]


def test_a_mistyped_verb_is_told() -> None:
    with pytest.raises(ValueError, match=r"^pretrian: no such command; did you mean 'pretrain'\?$"):
        for_torchrun([*_OWN, "pretrian", "--config", "run.yaml"])
