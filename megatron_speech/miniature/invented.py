"""Invents towns, and facts about them, that no text in the world states.

What a model knows about them it learnt from the training data alone. Names are made of simple syllables, so that every
voice reads them alike. A town has an emblem, which is asked for. Its other facts let its name be heard: its river, its
craft, its colour and the month of its fair. A hash gives the emblem of half of the towns in writing only, like the
capitals of `geography`.
"""

from __future__ import annotations

import calendar
import random
from dataclasses import dataclass
from itertools import product

from megatron_speech.miniature.geography import Group
from megatron_speech.randomness import sha256_hex

EMBLEMS = (
    *("badger", "beetle", "camel", "dolphin", "donkey", "falcon", "hedgehog", "heron"),
    *("lizard", "otter", "pigeon", "rabbit", "salmon", "spider", "tiger", "turtle"),
)
CRAFTS = ("baskets", "bells", "boats", "candles", "carpets", "clocks", "glass", "hats", "kites", "knives", "violins")
COLOURS = ("blue", "brown", "green", "grey", "orange", "pink", "purple", "red", "white", "yellow")
MONTHS = tuple(calendar.month_name[1:])

FIRST = ("Bal", "Cor", "Dem", "Fal", "Gor", "Hul", "Jan", "Kel", "Lom", "Mar", "Nor", "Pel", "Ros", "Sul", "Tam", "Vel")
MIDDLE = ("a", "i", "o", "u")
LAST = ("bar", "den", "dor", "fin", "gat", "kan", "lin", "mir", "nek", "pol", "ran", "sk", "tor", "vin", "zan")
LAST_OF_RIVERS = ("l", "m", "n", "r", "s")


@dataclass(frozen=True, kw_only=True)
class Town:
    """One invented town."""

    name: str
    group: Group
    """Whether its emblem may become speech."""
    emblem: str
    river: str
    craft: str
    colour: str
    month: str

    @property
    def facts(self) -> dict[str, str]:
        """Values by relation."""
        return {
            "emblem": self.emblem,
            "river": self.river,
            "craft": self.craft,
            "colour": self.colour,
            "month": self.month,
        }


def invent_towns(count: int) -> list[Town]:
    """The first `count` towns, always the same; every emblem occurs equally often in each group, to within one."""
    names = ["".join(parts) for parts in product(FIRST, MIDDLE, LAST)]
    rivers = ["".join(parts) for parts in product(FIRST, MIDDLE, LAST_OF_RIVERS)]
    rng = random.Random(0)
    rivers = rng.sample(rivers, 24)
    return [_town(name, rank, rivers, rng) for rank, name in enumerate(sorted(names, key=sha256_hex)[:count])]


def other_emblems(town: Town) -> list[str]:
    """Three emblems that are not the town's, the same at each call."""
    others = [emblem for emblem in EMBLEMS if emblem != town.emblem]
    return sorted(others, key=lambda emblem: sha256_hex(f"{town.name}:{emblem}"))[:3]


def _town(name: str, rank: int, rivers: list[str], rng: random.Random) -> Town:
    return Town(
        name=name,
        group="written_only" if rank % 2 == 0 else "spoken",
        emblem=EMBLEMS[rank // 2 % len(EMBLEMS)],
        river=rng.choice(rivers),
        craft=rng.choice(CRAFTS),
        colour=rng.choice(COLOURS),
        month=rng.choice(MONTHS),
    )
