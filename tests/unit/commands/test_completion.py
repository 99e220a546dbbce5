"""The script completes in a real bash, and zsh: commands, keys, values that are one of a few, examples, else files."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from megatron_speech.commands.completion import script
from megatron_speech.commands.table import COMMANDS

ZSH = "emulate sh; setopt kshglob noshglob braceexpand"
"""As zsh's bash mode calls the function."""


def complete(*words: str, shell: str = "bash") -> list[str]:
    """What a shell offers for the last of `words`."""
    line = " ".join(f"'{word}'" for word in ("megatron-speech", *words))
    asked = f"COMP_WORDS=({line})\nCOMP_CWORD={len(words)}\n_megatron_speech"
    read = f"autoload -Uz compinit && compinit -uD\n{script(shell)}\n{ZSH}" if shell == "zsh" else script(shell)
    code = f'{read}\n{asked}\nprintf "%s\\n" "${{COMPREPLY[@]-}}"'
    options = "-fc" if shell == "zsh" else "-uc"
    done = subprocess.run([shell, options, code], capture_output=True, text=True, timeout=60, check=True)
    assert not done.stderr
    return [line for line in done.stdout.splitlines() if line]


OFFERED: list[tuple[list[str], list[str]]] = [
    (["pack"], ["pack_shards"]),
    (["pack_shards", "--algo"], ["--algorithm"]),
    (["pack_shards", "--algorithm", ""], ["concat", "best_fit"]),
    (["build_interleaved", "--spans.sn"], ["--spans.snap_to_clauses"]),
    (["build_interleaved", "--spans.snap_to_clauses", "t"], ["true"]),
    (["pretrain", "--config", "miniature/pre"], ["miniature/pretrain", "miniature/pretrain_scratch"]),
    (["schema", "pretr"], ["pretrain"]),
    (["completion", ""], ["bash", "zsh"]),
    (["launch", "--standalone", "pretr"], ["pretrain"]),
    (["launch", "--standalone", "pretrain", "--checkpoint.res"], ["--checkpoint.resume"]),
    (["launch", "--standalone", "pretrain", "--checkpoint.resume", "re"], ["required"]),
    (["pack_shards", "--algorithm", "="], ["concat", "best_fit"]),
    (["pack_shards", "--algorithm", "=", "con"], ["concat"]),
    (["pretrain", "--config", "=", "miniature/pretrain_"], ["miniature/pretrain_scratch"]),
    (["pack_shards", "--output", ""], []),
    (["pack_shards", "--conf"], ["--config"]),
    (["run", "own"], ["own_data"]),
    (["run", "own_data", "--tr"], ["--trial"]),
    (["run", "mixture", "--li"], ["--list"]),
    (["pack_shards", "--algorithm=con"], ["--algorithm=concat"]),
]


@pytest.mark.parametrize(("words", "offered"), OFFERED)
def test_a_word_is_completed(words: list[str], offered: list[str]) -> None:
    assert complete(*words) == offered


@pytest.mark.parametrize(("words", "offered"), [row for row in OFFERED if "=" not in row[0]])
@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not installed")
def test_a_word_is_completed_in_zsh(words: list[str], offered: list[str]) -> None:
    """Which of the offered words fit, zsh sees itself."""
    assert [word for word in complete(*words, shell="zsh") if word.startswith(words[-1])] == offered


def test_every_command_is_offered() -> None:
    assert complete("") == [*COMMANDS, "--help"]


def test_zsh_reads_the_same_script_by_its_bash_mode() -> None:
    first, second, *_ = script("zsh").splitlines()
    assert (
        first == '# eval "$(megatron-speech completion zsh)"' and second == "autoload -Uz bashcompinit && bashcompinit"
    )
    assert script("zsh").partition("bashcompinit && bashcompinit\n")[2] == script("bash").partition("\n")[2]
