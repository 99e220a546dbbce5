"""The interface of synthesis engines, which continue prompts with speech ids.

An engine reads requests as it gets free and yields results as they finish, in any order. The random numbers of a
request depend on its seed alone. A failing engine raises an `EngineError` of one line. Earlier results stay valid.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

from megatron_speech.inference.generate import Generation, Request


class EngineError(ValueError):
    """Raised by an engine that cannot start or fails; one line with the engine, the cause and the remedy."""


class SynthesisEngine(Protocol):
    """Continues prompts with speech ids, each request under its own seed."""

    def generate(self, requests: Iterable[Request]) -> Iterator[tuple[int, Generation]]:
        """Yield (place of the request in the input, speech ids before the end of audio) as requests finish.

        Raises EngineError when the engine fails. Requests without a result must then be sent again.
        """
        ...


@contextmanager
def named_errors(engine: str, errors: tuple[type[Exception], ...], remedy: str) -> Iterator[None]:
    """Turn `errors` of the engine named `engine` into an EngineError of one line that ends in `remedy`."""
    try:
        yield
    except errors as error:
        if isinstance(error, EngineError):
            raise
        what = " ".join(f"{type(error).__name__}: {error}".split())
        raise EngineError(f"synthesis.engine={engine} died ({what}); earlier results are kept: {remedy}") from error
