"""Refuses an input that is not what a setting takes: absent, unfinished, empty, or of another stage."""

from __future__ import annotations

import os
from pathlib import Path

from megatron_speech.artifacts.kinds import KINDS, kind_of
from megatron_speech.artifacts.manifest import PARTIAL
from megatron_speech.config.parsing.inputs import Takes
from megatron_speech.config.parsing.near_path import did_you_mean

_FINISH = "run the command that makes it once more, to its end"


def require_input(key: str, value: str, takes: Takes) -> None:
    """Raise FileNotFoundError or ValueError unless the path `value` of setting `key` can be what it takes.

    A folder that shows no kind passes: the command that reads it knows more.
    """
    if value == takes.word or "://" in value:
        return
    path, given = Path(value), f"{key}={value}"
    if not path.exists():
        if not takes.may_lack:
            raise FileNotFoundError(f"{given} {_absence(path, takes)}")
    elif takes.file:
        if path.is_dir():
            raise ValueError(f"{given} is a folder; give {_wanted(takes)}")
    elif not path.is_dir():
        raise ValueError(f"{given} is a file; give {_wanted(takes)}")
    elif takes.kinds and (fault := _fault(path, takes)):
        raise ValueError(f"{given} {fault}")


def _absence(path: Path, takes: Takes) -> str:
    """Why there is nothing at `path`, and the remedy."""
    if path.is_symlink():
        return f"is a link to {path.readlink()}, which does not exist; mend the link"
    partial = path.with_name(path.name + PARTIAL) if path.name else path
    if partial.exists():
        return f"is not finished: {partial.name} is there; {_FINISH}"
    maker, any_folder = _maker(takes), not (takes.kinds or takes.file)
    origin = f"{maker} makes such a folder; " if maker else "" if any_folder else f"give {_wanted(takes)}; "
    return f"does not exist; {origin}{did_you_mean(path, folder=not takes.file)}"


def _fault(folder: Path, takes: Takes) -> str:
    """Why the folder cannot be what is taken; empty if it may be."""
    if folder.name.endswith(PARTIAL):
        return f"is not finished; {_FINISH}"
    if not any(os.scandir(folder)):
        return f"is empty; give {_wanted(takes)}"
    kind = kind_of(folder)
    if kind not in KINDS or kind in takes.kinds:
        return ""
    command = KINDS[kind].command
    origin = f", made by megatron-speech {command}" if command else ""
    return f"holds {KINDS[kind].holds}{origin}; give {_wanted(takes)}"


def _wanted(takes: Takes) -> str:
    """What is taken, and a command that makes it."""
    if not takes.kinds:
        return takes.file or "a folder"
    maker = _maker(takes)
    return f"{takes.what or KINDS[takes.kinds[0]].holds}{f', which {maker} makes' if maker else ''}"


def _maker(takes: Takes) -> str:
    """A command that makes what is taken; empty if none does."""
    command = KINDS[takes.kinds[0]].command if takes.kinds else ""
    return f"megatron-speech {command}" if command else ""
