"""Random numbers as pure functions of a seed and a purpose, without a state that advances with each call.

A number does not depend on the order of calls, restarts, workers or ranks. One hash would be enough; there are four,
because orders, spans and weights drawn by each must not change. NumPy keeps the raw bits of a bit generator stable
across versions, but not its distributions. So numbers that must not change are computed from raw bits or hashes.

>>> sha256_fraction("seed 0, document a") == sha256_fraction("seed 0, document a")
True
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import xxhash
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]


def splitmix64(values: Words) -> Words:
    """Well-mixed 64-bit hash of each value (finalizer of the SplitMix64 generator)."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def named_keys(seed: int, name: str, numbers: Ints) -> Words:
    """One random key per number (an epoch or a sample), for the purpose `name`; uint64 [n]."""
    return splitmix64(numbers.astype(np.uint64) ^ np.uint64(xxh3_number(f"{seed}/{name}")))


def uniform_at(seeds: Words, steps: Ints | Words) -> NDArray[np.float64]:
    """Uniform numbers in [0, 1), one per seed [B] and step [B], by two rounds of `splitmix64`."""
    return unit_interval(splitmix64(splitmix64(seeds) + steps.astype(np.uint64)))


def unit_interval(bits: Words) -> NDArray[np.float64]:
    """Numbers in [0, 1) from the upper 53 of 64 random bits."""
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def xxh3_number(text: str) -> int:
    """64-bit xxh3 hash of a text; the fastest hash here, for every document of a corpus."""
    return xxhash.xxh3_64_intdigest(text.encode())


def xxh3_numbers(texts: Sequence[str], *, seed: int) -> Words:
    """64-bit xxh3 hash of each text under a seed."""
    digest = xxhash.xxh3_64_intdigest
    return np.array([digest(text.encode(), seed) for text in texts], np.uint64)


def blake2b_number(text: str) -> int:
    """64-bit blake2b hash of a text; seeds sampling requests."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def sha256_number(text: str, *, num_bytes: int) -> int:
    """First `num_bytes` bytes of a text's sha256 as a little-endian number."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:num_bytes], "little")


def sha256_hex(text: str) -> str:
    """sha256 of a text in hexadecimal digits; sorting by it gives a random order."""
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_fraction(text: str) -> float:
    """Number in [0, 1) from the first 13 hexadecimal digits of a text's sha256."""
    return int(sha256_hex(text)[:13], 16) / 16**13


def philox(seed: int, stream: int = 0) -> np.random.Generator:
    """NumPy generator for (seed, stream), with the counter-based Philox."""
    return np.random.Generator(np.random.Philox(key=[seed, stream]))


def pcg64(*numbers: int) -> np.random.Generator:
    """NumPy generator for a tuple of numbers, with the default PCG64."""
    return np.random.default_rng(numbers)
