"""What the table knows of a command. Modules are named, not imported: a table entry costs nothing."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from megatron_speech.config.parsing.help import HelpPage

PROGRAM = "megatron-speech"
_PACKAGE = "megatron_speech."


@dataclass(frozen=True, kw_only=True)
class Command:
    """A verb of the command line: what it does, the settings it parses and the function it calls."""

    name: str
    summary: str
    """One line that says what the command does."""
    about: str = ""
    """What else a user should know before the keys."""
    stage: str
    """Stage of the chain that the command belongs to."""
    settings: str = ""
    """``module:class`` of the settings, which must not import torch; empty if the function takes the words as given."""
    function: str
    """``module:function`` that does the work; it takes the settings."""
    words: str = ""
    """What follows a verb without settings, for its help: `EXAMPLE [options]`."""
    leading: str = ""
    """Key that the first word sets, where it is no option: `ls FOLDER`."""
    leads_all: bool = False
    """Whether all first words set that key, a list: `compare_evaluations A B C`."""
    flags: Sequence[str] = ()
    """Keys that are true where no value follows them: `--check`."""
    usual: Sequence[str] = ()
    """Keys that are set most often, in the order of the help."""
    example: str = ""
    """What follows the verb in the help's example."""
    reads: bool = True
    """Whether it reads what its settings name; a plan may be made before that exists."""
    logs: bool = True
    """Whether log records of rank 0 appear as plain lines; False if the command prints or keeps a log itself."""

    heartbeat: bool = False
    """Whether the command line says how long the command is at work; for one that logs, but counts nothing itself."""

    @property
    def schema(self) -> type:
        """Settings class, imported when first asked for."""
        loaded: type = _load(self.settings)
        return loaded

    def load(self) -> Callable[[Any], Any]:
        """Import the function that does the work, and with it whatever that needs."""
        function: Callable[[Any], Any] = _load(self.function)
        return function

    @property
    def page(self) -> HelpPage:
        """What the help says beside the keys."""
        return HelpPage(
            description=f"{self.summary} {self.about}".strip(),
            leading=self.leading,
            usual=self.usual,
            example=f"{PROGRAM} {self.name} {self.example}" if self.example else "",
        )


def _load(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(_PACKAGE + module), name)
