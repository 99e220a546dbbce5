"""Prompts of judges: files that say what a judge is told, and what its last line may be.

    # Is an answer right?
    system: |
      You grade answers ...
    user: |
      Question: $question
      Accepted answers: $accepted
      Answer: $answer
      ... a last line with one word alone: right or wrong.
    verdicts: {right: 1, wrong: 0}

A verdict is worth 0 to 1. The fields are $question, $accepted and $answer. A prompt that compares two answers has
$first and $second instead of $answer; its verdicts say what they are worth for the first. A dollar sign is written $$.

The name of a prompt is that of its file, and a protocol has the hash of its bytes. Those in the folder `prompts` are
frozen: a change would be another prompt, under another name.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

from megatron_speech.config.parsing.build import build_section
from megatron_speech.config.parsing.yaml_text import read_yaml

ONE, TWO = frozenset({"answer"}), frozenset({"first", "second"})
"""Fields of the answers of a prompt: it judges one, or compares two."""
FIELDS = frozenset({"question", "accepted"}) | ONE | TWO
_AROUND = " \t*_`#>\"'.!()[]"
"""Signs around a verdict that do not count."""


@dataclass(frozen=True, kw_only=True)
class _File:
    """Keys of a prompt's file."""

    user: str
    verdicts: dict[str, float]
    system: str = ""


@dataclass(frozen=True, kw_only=True)
class JudgePrompt:
    """What a judge is told, and how its reply is read."""

    name: str
    sha256: str
    """Of the bytes of its file."""
    system: Template
    user: Template
    verdicts: Mapping[str, float]
    """What each verdict, in lower case, is worth."""

    @property
    def fields(self) -> frozenset[str]:
        """What it needs to know."""
        return frozenset(self.system.get_identifiers()) | frozenset(self.user.get_identifiers())

    @property
    def compares(self) -> bool:
        """Whether it compares two answers."""
        return self.fields >= TWO

    def messages(self, values: Mapping[str, str]) -> list[dict[str, str]]:
        """Messages of a chat, with `values` of the fields."""
        system, user = self.system.substitute(values), self.user.substitute(values)
        return [*([{"role": "system", "content": system}] if system else []), {"role": "user", "content": user}]

    def verdict_of(self, reply: str) -> str | None:
        """The verdict alone in the last line of a reply, or behind its last colon; None if there is none."""
        lines = [line for line in (line.strip(_AROUND) for line in reply.splitlines()) if line]
        verdict = lines[-1].rpartition(":")[2].strip(_AROUND).lower() if lines else ""
        return verdict if verdict in self.verdicts else None


def load_prompt(name: str) -> JudgePrompt:
    """The prompt of this name, or in the YAML file `name`; ValueError or FileNotFoundError if there is none."""
    if not name.endswith((".yaml", ".yml")):
        return _parsed(name, _packaged(name), place=f"prompt={name}")
    if not Path(name).is_file():
        raise FileNotFoundError(f"prompt={name} does not exist; correct the path, or name one of {', '.join(names())}")
    return _parsed(Path(name).stem, Path(name).read_bytes(), place=f"prompt={name}")


def names() -> list[str]:
    """Prompts that stand in the package."""
    return sorted(each.name.removesuffix(".yaml") for each in _folder().iterdir())


def _folder() -> Path:
    return Path(str(files("megatron_speech.evaluation.judging"))) / "prompts"


def _packaged(name: str) -> bytes:
    if name not in names():
        near = difflib.get_close_matches(name, names(), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"the prompts are {', '.join(names())}"
        raise ValueError(f"prompt={name}: no such prompt; {hint} (a file of your own ends with .yaml)")
    return (_folder() / f"{name}.yaml").read_bytes()


def _parsed(name: str, content: bytes, *, place: str) -> JudgePrompt:
    values = read_yaml_at(content, place)
    given = build_section(_File, values, prefix=f"{place}: ")
    prompt = JudgePrompt(
        name=name,
        sha256=hashlib.sha256(content).hexdigest(),
        system=Template(given.system),
        user=Template(given.user),
        verdicts={verdict.lower(): worth for verdict, worth in given.verdicts.items()},
    )
    if not (prompt.system.is_valid() and prompt.user.is_valid()):
        raise ValueError(f"{place}: a $ stands before no field; write $$ for a dollar sign")
    if unknown := sorted(prompt.fields - FIELDS):
        raise ValueError(f"{place}: ${unknown[0]} is no field; the fields are ${', $'.join(sorted(FIELDS))}")
    if prompt.fields & (ONE | TWO) not in (ONE, TWO):
        raise ValueError(f"{place}: must have either $answer, or $first and $second; correct it")
    if len(prompt.verdicts) < 2 or len(prompt.verdicts) < len(given.verdicts):
        raise ValueError(f"{place}: verdicts={list(given.verdicts)} must be at least two different words; correct them")
    if outside := [verdict for verdict, worth in prompt.verdicts.items() if not 0 <= worth <= 1]:
        raise ValueError(f"{place}: verdicts.{outside[0]} must be worth 0 to 1; correct it")
    return prompt


def read_yaml_at(content: bytes, place: str) -> Mapping[str, object]:
    """Parse the content of a prompt's file; ValueError names `place`."""
    try:
        values = read_yaml(content.decode())
    except ValueError as error:
        raise ValueError(f"{place}{error}") from error
    if not isinstance(values, Mapping):
        raise ValueError(f"{place}: must have the keys user and verdicts; correct it")
    return values
