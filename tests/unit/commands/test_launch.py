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


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            [],
            "^launch: no command to start; write it behind torchrun's options, as in launch --nproc-per-node 8",
        ),
        (["--nproc-per-node", "2"], "^launch: no command to start"),
        (["--nnodes"], "^launch: argument --nnodes: expected one argument$"),
        (["--max-restarts", "many", "pretrain"], "^launch: argument --max-restarts.*: invalid int value: 'many'$"),
    ],
)
def test_what_torchrun_refuses_is_one_line(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match=says):
        for_torchrun(words)
    assert capsys.readouterr().err == ""


def test_a_mistyped_verb_is_told() -> None:
    with pytest.raises(ValueError, match=r"^pretrian: no such command; did you mean 'pretrain'\?$"):
        for_torchrun([*_OWN, "pretrian", "--config", "run.yaml"])
