"""Reads a page: its links, headings, sentences and code blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"`[^`\n]+`")
_LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")
_MARKS = re.compile(r"^(?:[-*] |\d+\. |> )")
_END = re.compile(r"(?<=[.!?])[\")]?\s+(?=[A-Z`\"(0-9])")


@dataclass(frozen=True)
class Block:
    """A fenced block of code."""

    language: str
    text: str

    @property
    def lines(self) -> list[str]:
        """Lines without comments; a line that ends in a backslash goes on in the next."""
        joined = re.sub(r"\\\n\s*", " ", self.text).splitlines()
        return [line for line in (re.sub(r"(^|\s)#.*$", "", line).strip() for line in joined) if line]


@dataclass(frozen=True)
class Page:
    """A Markdown file of the repository."""

    path: Path

    def __str__(self) -> str:
        return str(self.path.relative_to(ROOT))

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def blocks(self) -> list[Block]:
        return [Block(language, text) for language, text in _FENCE.findall(self.text)]

    @cached_property
    def prose(self) -> str:
        """The page without its blocks."""
        return _FENCE.sub("", self.text)

    @property
    def links(self) -> list[str]:
        """Targets of links and images."""
        return [target for _, target in _LINK.findall(_CODE.sub("", self.prose))]

    @property
    def code(self) -> list[str]:
        """What stands between backticks in the prose."""
        return [code.strip("`") for code in _CODE.findall(self.prose)]

    @property
    def anchors(self) -> set[str]:
        """Anchors of the headings, as code hosts make them."""
        headings = re.findall(r"^#+ (.+)$", self.prose, re.MULTILINE)
        return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}

    def commands(self) -> list[str]:
        """Lines of shell blocks; of a console block, those after a prompt that are no mistakes."""
        lines = [line for block in self.blocks if block.language == "bash" for line in block.lines]
        return lines + [line for line, answer in self._console() if not answer.startswith("error: ")]

    def mistakes(self) -> list[tuple[str, str]]:
        """Lines of console blocks that are answered by an error, with the error."""
        return [(line, answer) for line, answer in self._console() if answer.startswith("error: ")]

    def _console(self) -> Iterator[tuple[str, str]]:
        """Lines after a prompt, each with the line that follows."""
        for block in self.blocks:
            if block.language == "console":
                for line, answer in pairwise([*block.lines, ""]):
                    if line.startswith("$ "):
                        yield line.removeprefix("$ "), answer

    def sentences(self) -> Iterator[str]:
        """Sentences of paragraphs, list items and cells; code counts as one word, a link as its text."""
        plain = _LINK.sub(r"\1", _CODE.sub("Code", self.prose))
        for paragraph in re.split(r"\n\s*\n|\n(?=\s*(?:[-*|>] ?|\d+\. ))", plain):
            if paragraph.lstrip().startswith("#"):
                paragraph = paragraph.partition("\n")[2]
            cells = paragraph.strip().strip("|").split("|") if paragraph.lstrip().startswith("|") else [paragraph]
            for cell in cells:
                yield from _END.split(_MARKS.sub("", " ".join(cell.split())))


def words(sentence: str) -> list[str]:
    """Words of a sentence; signs alone are none."""
    return [word for word in sentence.split() if re.search(r"\w", word)]


FOLDERS = ("examples", "megatron_speech", "slurm", "tests", "tools")
PAGES = [
    Page(path)
    for path in sorted([*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md"))])
    if path.parent.name != "report" and "examples.d" not in path.parts
]
"""All pages that people wrote; reports are written by commands."""
