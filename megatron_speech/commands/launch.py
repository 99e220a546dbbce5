"""Starts a command, or a script, on several ranks."""

from __future__ import annotations

from collections.abc import Sequence

from megatron_speech.commands.table import find

_MODULE = "megatron_speech.commands"


def launch(words: Sequence[str]) -> None:
    """Give torchrun its own options and what every rank runs; leaves by SystemExit unless every rank ended well."""
    from megatron_speech.parallel import launcher

    launcher.launch(for_torchrun(words))


def for_torchrun(words: Sequence[str]) -> list[str]:
    """Replace a verb by the module that runs it; the path of a script, or a module after ``-m``, stays.

    Raises ValueError for a word that is neither a path nor a verb.
    """
    from torch.distributed.run import parse_args

    parsed = parse_args(list(words))
    script: str = parsed.training_script
    if parsed.module or parsed.no_python or "/" in script or script.endswith(".py"):
        return list(words)
    place = len(words) - len(parsed.training_script_args) - 1
    return [*words[:place], "-m", _MODULE, find(script).name, *words[place + 1 :]]
