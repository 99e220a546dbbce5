"""A slot of the generation engine, which holds one context, and the answer that is written after it.

See `engine`. A context is the ids that were appended and written, in order. Its keys and values are in the engine's
cache for the first `num_read` of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Protocol, Self

from megatron_speech.inference.sampling import Allowed, IdSet, Sampling

Reason = Literal["stop", "length", "cancelled"]


class Engine(Protocol):
    """What a slot needs of its engine."""

    max_context: int
    """Most tokens of a slot."""
    vocabulary_size: int

    def step(self) -> bool:
        """Run the model once."""
        ...

    def release(self, slot: Slot) -> None:
        """Make the place of a closed slot free."""
        ...


@dataclass(frozen=True, kw_only=True)
class AnswerSettings:
    """How a context is continued."""

    max_new_tokens: int
    """Most ids to write, the stop id included."""
    stop: Collection[int]
    """Ids that end the answer."""
    seed: int = 0
    """Seed of this answer's random numbers, 0 .. 2**64 - 1."""
    sampling: Sampling = field(default_factory=Sampling)
    """Temperature and nucleus."""
    allowed: Allowed | None = None
    """Ids that may come, those in `stop` among them: one set, or a function of the answer so far. None allows all."""

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens={self.max_new_tokens} must be at least 1; use a positive number")
        if not 0 <= self.seed < 2**64:
            raise ValueError(f"seed={self.seed} must lie in 0 to 2**64 - 1; 0 is the default")


class Answer:
    """The tokens written after a context, without the stop id.

    Iteration gives each token as soon as it is there, and runs the engine until then. Who runs the engine otherwise
    looks at `tokens` and `reason` after each step.
    """

    def __init__(self, slot: Slot, settings: AnswerSettings) -> None:
        self.slot = slot
        self.settings = settings
        self.tokens: list[int] = []
        self.reason: Reason | None = None
        """Why the answer ended; None while it is under way."""

    def __iter__(self) -> Iterator[int]:
        shown = 0
        while True:
            if shown < len(self.tokens):
                yield self.tokens[shown]
                shown += 1
            elif self.reason:
                return
            else:
                moved = self.slot.engine.step()
                assert moved, "an answer under way has a token to read"

    def cancel(self) -> None:
        """End the answer; its slot keeps what was written. Does nothing if it has ended."""
        if self.reason is None:
            self._end("cancelled")

    def allowed_now(self) -> IdSet | None:
        """The ids that may come next, None for all."""
        allowed = self.settings.allowed
        return allowed(self.tokens) if callable(allowed) else allowed

    def take(self, token: int) -> None:
        """Add the next token, which may end the answer; the engine calls it."""
        if token in self.settings.stop:
            return self._end("stop")
        self.tokens.append(token)
        self.slot.ids.append(token)
        if len(self.tokens) == self.settings.max_new_tokens:
            self._end("length")

    def _end(self, reason: Reason) -> None:
        self.reason = reason
        self.slot.writing = None


class Slot:
    """One context of a generation engine, from `GenerationEngine.open` to `close`; a `with` block closes it too."""

    def __init__(self, engine: Engine, number: int) -> None:
        self.engine = engine
        self.number = number
        self.ids: list[int] = []
        """The context."""
        self.num_read = 0
        """How many of them the model has read."""
        self.writing: Answer | None = None
        """The answer under way."""
        self.closed = False

    @property
    def num_waiting(self) -> int:
        """How many ids of the context the model has not read."""
        return len(self.ids) - self.num_read

    def append(self, ids: Sequence[int]) -> None:
        """Add ids to the context. The next steps read them, also before an answer is asked for.

        Raises ValueError for ids outside the vocabulary, a context that gets too long, or an answer under way.
        """
        self._require_idle()
        new = [int(each) for each in ids]
        size, length, limit = self.engine.vocabulary_size, len(self.ids) + len(new), self.engine.max_context
        if new and (min(new) < 0 or max(new) >= size):
            raise ValueError(f"ids {min(new)}..{max(new)} lie outside the vocabulary of {size:,}; use ids of the model")
        if length > limit:
            raise ValueError(
                f"a context of {length:,} tokens exceeds the {limit:,} that a slot of the generation engine holds; "
                "shorten it, or begin another"
            )
        self.ids += new

    def answer(self, settings: AnswerSettings) -> Answer:
        """Continue the context; ValueError if it is empty, too long for the answer, or already being continued."""
        self._require_idle()
        length, new, limit = len(self.ids), settings.max_new_tokens, self.engine.max_context
        if not length:
            raise ValueError("an empty context cannot be continued; append at least one token")
        if length + new > limit:
            raise ValueError(
                f"a context of {length:,} tokens and max_new_tokens={new:,} exceed the {limit:,} that a slot of the "
                "generation engine holds; shorten the context, or lower max_new_tokens"
            )
        self.num_read = min(self.num_read, length - 1)  # the first new token needs the states after the last id
        self.writing = Answer(self, settings)
        return self.writing

    def rewind(self, length: int) -> None:
        """Keep the first `length` ids only, such as what was heard of an answer; cancels one under way.

        Raises ValueError if the context is shorter.
        """
        self._require_open()
        if not 0 <= length <= len(self.ids):
            raise ValueError(f"length={length} must lie in 0 to {len(self.ids)}, the tokens of the context; lower it")
        if self.writing:
            self.writing.cancel()
        del self.ids[length:]
        self.num_read = min(self.num_read, length)

    def close(self) -> None:
        """Forget the context and free its memory for another; cancels an answer under way."""
        if not self.closed:
            self.rewind(0)
            self.closed = True
            self.engine.release(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _require_open(self) -> None:
        if self.closed:
            raise ValueError("this slot of the generation engine is closed; open another")

    def _require_idle(self) -> None:
        self._require_open()
        if self.writing:
            raise ValueError("an answer is under way in this slot; let it end, or cancel it")
