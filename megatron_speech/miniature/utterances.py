"""Plans the utterances of a corpus: text, voice, speed and seed, from the corpus and the settings alone.

Every choice is a hash of names, so the plan is the same on any machine and for any number of processes. Whole sentences
are mixed with runs of words inside sentences. Interleaving later needs a text-to-token model that can speak such spans
(arXiv 2411.17607).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from megatron_speech.config.stages.miniature import SpeakCorpusConfig
from megatron_speech.miniature.corpus import read_jsonl
from megatron_speech.miniature.text import is_speakable
from megatron_speech.randomness import sha256_fraction, sha256_hex

MIN_CHARACTERS = 20
"""Least length of a sentence; shorter ones are mostly remains of headings."""


CLOZE_ENDINGS = ("ending", "random_ending", "same_topic_ending")


@dataclass(frozen=True, kw_only=True)
class PlannedUtterance:
    """One utterance to synthesise."""

    key: str
    text: str
    voice: str
    speed: float
    seed: int
    meta: dict[str, Any] = field(default_factory=dict)


def plan_utterances(config: SpeakCorpusConfig, voices: dict[str, int]) -> list[PlannedUtterance]:
    """The utterances of `config.part`.

    Args:
        voices: number of utterances by voice, for sentences and facts; questions and cloze items have one voice.

    Raises ValueError if the corpus has too few sentences, facts or items.
    """
    if config.part == "questions":
        return list(_questions(config))
    if config.part == "answers":
        return list(_answers(config))
    if config.part == "cloze":
        return list(_cloze(config))
    # In hashed order, so that any prefix of the list contains all voices and kinds.
    return sorted(_sentences(config, voices), key=lambda utterance: sha256_hex(utterance.key))


def _sentences(config: SpeakCorpusConfig, voices: dict[str, int]) -> Iterator[PlannedUtterance]:
    """Sentences of articles and geography facts, in a fixed random order; each voice takes the next ones."""
    sentences = _in_order(_article_sentences(config))
    share = config.geography_share if config.part == "train" else 0.0
    facts = _in_order(_geography_facts(config)) if share else []
    said_sentences = said_facts = 0
    for voice, count in voices.items():
        num_facts = round(count * share)
        num_sentences = count - num_facts
        if said_sentences + num_sentences > len(sentences) or said_facts + num_facts > len(facts):
            raise ValueError(
                f"utterances={config.utterances} asks for more than the {len(sentences)} sentences and {len(facts)} "
                f"facts of {config.corpus}; lower the counts"
            )
        for name, text, meta in sentences[said_sentences : said_sentences + num_sentences]:
            yield _utterance(config, f"{name}-{voice}", _sentence_or_span(config, name, text), voice, meta)
        for name, text, meta in facts[said_facts : said_facts + num_facts]:
            yield _utterance(config, f"{name}-{voice}", text, voice, meta)
        said_sentences += num_sentences
        said_facts += num_facts


def _article_sentences(config: SpeakCorpusConfig) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for document in read_jsonl(config.corpus / f"{config.part}.jsonl"):
        if not document["metadata"]["speakable"]:
            continue
        for number, sentence in enumerate(document["metadata"]["sentences"]):
            if MIN_CHARACTERS <= len(sentence) <= config.max_characters and is_speakable(sentence):
                yield f"{document['id']}-{number}", sentence, {"source": "corpus", "document": document["id"]}


def _geography_facts(config: SpeakCorpusConfig) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for document in read_jsonl(config.corpus / "geography.jsonl"):
        if document["metadata"]["speakable"]:
            meta = {"source": "geography", "document": document["id"], "country": document["metadata"]["country"]}
            yield document["id"], document["text"], meta


def _questions(config: SpeakCorpusConfig) -> Iterator[PlannedUtterance]:
    """The first `items` questions, each `readings` times; the groups alternate, so all get equally many."""
    documents = read_jsonl(config.corpus / "questions.jsonl")
    ranked: list[tuple[int, str, dict[str, Any]]] = []
    for group in sorted({document["metadata"]["group"] for document in documents}):
        members = sorted((d for d in documents if d["metadata"]["group"] == group), key=lambda d: sha256_hex(d["id"]))
        ranked += [(rank, group, document) for rank, document in enumerate(members)]
    ranked.sort(key=lambda entry: entry[:2])
    for _, _, document in ranked[: config.items]:
        meta = {"source": "questions", "item": document["id"], "country": document["metadata"]["country"]}
        for reading in range(config.readings):
            key = f"{document['id']}-{reading}"
            yield _utterance(config, key, document["text"], "hibari", {**meta, "reading": reading})


def _answers(config: SpeakCorpusConfig) -> Iterator[PlannedUtterance]:
    """All candidates of all questions, each once."""
    questions = read_jsonl(config.corpus / "questions.jsonl")
    for answer in sorted({candidate for document in questions for candidate in document["metadata"]["candidates"]}):
        meta = {"source": "answers", "answer": answer}
        yield _utterance(config, f"answer-{sha256_hex(answer)[:16]}", answer, "hibari", meta)


def _cloze(config: SpeakCorpusConfig) -> Iterator[PlannedUtterance]:
    """The four parts of the first `items` items with only short and speakable parts."""
    documents = read_jsonl(config.corpus / "cloze.jsonl")
    parts_of = [
        (document["id"], {"context": document["text"], **{name: document["metadata"][name] for name in CLOZE_ENDINGS}})
        for document in documents
    ]
    fitting = [
        (item, parts)
        for item, parts in parts_of
        if all(len(text) <= config.max_characters and is_speakable(text) for text in parts.values())
    ]
    if len(fitting) < config.items:
        raise ValueError(
            f"items={config.items} asks for more than the {len(fitting)} cloze items of {config.corpus} within "
            f"max_characters={config.max_characters}; lower the one or raise the other"
        )
    for item, parts in fitting[: config.items]:
        for part, text in parts.items():
            yield _utterance(config, f"{item}-{part}", text, "hibari", {"source": "cloze", "item": item, "part": part})


def _utterance(config: SpeakCorpusConfig, name: str, text: str, voice: str, meta: dict[str, Any]) -> PlannedUtterance:
    slowest, fastest = config.speeds
    speed = round(slowest + sha256_fraction(f"speed:{name}") * (fastest - slowest), 3)
    split = "train" if config.part == "train" else "heldout"
    return PlannedUtterance(
        key=name,
        text=text,
        voice=voice,
        speed=speed,
        seed=int(sha256_hex(f"seed:{name}")[:8], 16),
        meta={**meta, "voice": voice, "split": split, "speed": speed},
    )


def _sentence_or_span(config: SpeakCorpusConfig, name: str, sentence: str) -> str:
    """The sentence, or a run of its words with probability `span_share`."""
    words = sentence.split()
    fewest, most = config.span_words
    if sha256_fraction(f"span:{name}") >= config.span_share or len(words) <= fewest:
        return sentence
    length = fewest + int(sha256_fraction(f"length:{name}") * (min(most, len(words) - 1) - fewest + 1))
    start = int(sha256_fraction(f"start:{name}") * (len(words) - length + 1))
    return " ".join(words[start : start + length])


def _in_order(entries: Iterator[tuple[str, str, dict[str, Any]]]) -> list[tuple[str, str, dict[str, Any]]]:
    """`entries` in a fixed random order: sorted by the hashes of their names."""
    return sorted(entries, key=lambda entry: sha256_hex(entry[0]))
