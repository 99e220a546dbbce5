"""Starts a command, or a script, on several ranks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from megatron_speech.commands.table import find

_MODULE = "megatron_speech.commands"


def launch(words: Sequence[str]) -> None:
    """Give torchrun its own options and what every rank runs; leaves by SystemExit unless every rank ended well."""
    from megatron_speech.parallel import launcher

    launcher.launch(for_torchrun(words))


def for_torchrun(words: Sequence[str]) -> list[str]:
    """Replace a verb by the module that runs it; the path of a script, or a module after ``-m``, stays.

    Raises ValueError for a word that is neither a path nor a verb, and for what torchrun refuses.
    """
    from torch.distributed.run import get_args_parser

    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign]  # its own prints 25 lines
    parsed = parser.parse_args(list(words))
    script: str = parsed.training_script
    if parsed.module or parsed.no_python or "/" in script or script.endswith(".py"):
        return list(words)
    place = len(words) - len(parsed.training_script_args) - 1
    return [*words[:place], "-m", _MODULE, find(script).name, *words[place + 1 :]]


def _refuse(message: str) -> NoReturn:
    if "training_script" in message:
        message = "no command to start; write it behind torchrun's options, as in launch --nproc-per-node 8 pretrain"
    raise ValueError(f"launch: {message}")
