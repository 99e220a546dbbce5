"""The interface of synthesis engines: whatever continues prompts with speech ids.

An engine reads requests as it gets free and yields results as they finish, in any order. The random numbers of a
request depend on its seed alone. An engine that dies raises an `EngineError` of one line. What it yielded before stays
good.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

from megatron_speech.inference.generate import Generation, Request


class EngineError(ValueError):
    """An engine that cannot start, or died; one line: which, what happened, the remedy."""


class SynthesisEngine(Protocol):
    """Continues prompts with speech ids, each request under its own seed."""

    def generate(self, requests: Iterable[Request]) -> Iterator[tuple[int, Generation]]:
        """(Place of the request in the input, speech ids up to the end of the audio), as they finish.

        Raises EngineError when the engine dies; requests that were not yet answered are then to be asked again.
        """
        ...


@contextmanager
def named_errors(engine: str, errors: tuple[type[Exception], ...], remedy: str) -> Iterator[None]:
    """Turn the errors of the engine called `engine` into one line that ends in `remedy`."""
    try:
        yield
    except errors as error:
        if isinstance(error, EngineError):
            raise
        what = " ".join(f"{type(error).__name__}: {error}".split())
        raise EngineError(f"synthesis.engine={engine} died ({what}); what it gave before is kept: {remedy}") from error
