"""The generation engine: contexts that stay in memory, read piece by piece and continued, several at a time.

A `Slot` holds one context: what was read and what was written. `Slot.append` adds tokens, such as a piece of a prompt,
and `Slot.answer` continues the context. The slot is kept until `Slot.close`, so that a conversation never reads its
history again. Each `step` is one pass of the model. It writes a token of every answer under way, and it reads a bounded
number of waiting tokens. So answers go on while a long prompt is read.

The random numbers of an answer depend on its seed only. So do its tokens, up to rounding, whatever its neighbours in
the batch are and however its prompt is cut: matrix products of other shapes add in another order. Rounding
changes a choice only between two ids that are equally good within it. An answer alone, to a prompt read in one pass,
has the tokens of bulk generation (`generate_tokens`) to the bit.

An engine belongs to one thread, and everything is done between two steps.

Cost: all slots have as many columns as the longest context needs. A step reads neighbouring slots to the end of the
longest of them. Bulk generation moves rows together and sorts requests by length.

Shapes: B rows, D width, A allowed ids.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from megatron_speech.inference.attention import Piece
from megatron_speech.inference.decoder import Decoder
from megatron_speech.inference.model import LanguageModel
from megatron_speech.inference.sampling import IdSet, Sampling, next_ids
from megatron_speech.inference.slot import Answer, AnswerSettings, Slot

READ_TOKENS = 512  # a pass this long takes a fraction of a second; a longer one is hardly more efficient


class EngineFullError(ValueError):
    """Raised when every slot is in use."""


class GenerationEngine:
    """Reads and continues contexts of a language model; see the module."""

    def __init__(
        self, model: LanguageModel, *, slots: int, max_context: int | None = None, read_tokens: int = READ_TOKENS
    ) -> None:
        """Prepare the weights and an empty cache.

        Args:
            slots: most contexts at a time. Their memory grows up to `most_bytes`.
            max_context: most tokens of a context, answers included; None for all positions of the model.
            read_tokens: most waiting tokens that a step reads. It bounds how long answers under way pause.
        """
        for name, value in (("slots", slots), ("max_context", max_context), ("read_tokens", read_tokens)):
            if value is not None and value < 1:
                raise ValueError(f"{name}={value} must be at least 1; use a positive number")
        self.max_context = min(model.max_positions, max_context or model.max_positions)
        self.vocabulary_size = model.vocabulary.size
        self.read_tokens = read_tokens
        self.num_slots = slots
        self.decoder = Decoder.of(model.network)
        self.cache = self.decoder.cache(slots, limit=self.max_context)
        self._free = list(range(slots))  # a heap: the lowest number first, so that slots in use lie side by side
        self._open: list[Slot] = []
        self._heads: WeakKeyDictionary[IdSet, tuple[Tensor, Tensor]] = WeakKeyDictionary()

    @property
    def num_free(self) -> int:
        """Number of slots that `open` can still give."""
        return len(self._free)

    @property
    def most_bytes(self) -> int:
        """Memory of the slots' keys and values when a context has its greatest length."""
        return self.cache.most_bytes

    def open(self) -> Slot:
        """Take a free slot for a new context; EngineFullError if there is none."""
        if not self._free:
            raise EngineFullError(
                f"all {self.num_slots} slots of the generation engine are in use; close one, or make an engine of more"
            )
        slot = Slot(self, heapq.heappop(self._free))
        self._open.append(slot)
        return slot

    def release(self, slot: Slot) -> None:
        """Make the place of a closed slot free; `Slot.close` calls it."""
        self._open.remove(slot)
        heapq.heappush(self._free, slot.number)

    @torch.inference_mode()
    def step(self) -> bool:
        """Run the model once; False if nothing waits to be read and no answer is under way.

        If it raises, no context has changed, and another step may follow.
        """
        work = self._work()
        if not work:
            return False
        pieces = [Piece(slot=slot.number, start=slot.num_read, tokens=tokens) for slot, tokens in work]
        ready = _ready(work)
        states_BD = self.decoder.append(pieces, cache=self.cache)
        chosen: dict[Answer, int] = {}
        for (allowed, sampling), rows in ready.items():
            head_AD, ids_A = self._head(allowed)
            ids = next_ids(
                self.decoder.logits(states_BD[list(rows)], head_AD),
                ids_A=ids_A,
                sampling=sampling,
                seeds=[answer.settings.seed for answer in rows.values()],
                steps=[len(answer.tokens) for answer in rows.values()],
            )
            chosen.update(zip(rows.values(), ids, strict=True))
        # Tokens first: a step that is interrupted here is repeated, for the answers that have no token yet.
        for answer, token in chosen.items():
            answer.take(token)
        for slot, tokens in work:
            slot.num_read += len(tokens)
        return True

    def _work(self) -> list[tuple[Slot, Sequence[int]]]:
        """What the next step reads: the one token that a slot waits with, and the shortest of the longer pieces."""
        work: list[tuple[Slot, Sequence[int]]] = []
        room = self.read_tokens
        for slot in sorted(self._open, key=lambda slot: slot.num_waiting):
            count = slot.num_waiting
            if count > 1:
                count = min(count, room)
                room -= count
            if count:
                work.append((slot, slot.ids[slot.num_read : slot.num_read + count]))
        return work

    def _head(self, allowed: IdSet | None) -> tuple[Tensor, Tensor | None]:
        """Rows of the output head for the allowed ids, and these ids; for all ids the head itself."""
        if allowed is None:
            return self.decoder.head_AD, None
        if allowed not in self._heads:
            ids_A = allowed.ids_A.to(self.decoder.head_AD.device)
            self._heads[allowed] = self.decoder.head_AD[ids_A], ids_A
        return self._heads[allowed]


def _ready(work: Sequence[tuple[Slot, Sequence[int]]]) -> dict[tuple[IdSet | None, Sampling], dict[int, Answer]]:
    """Answers that get a token after this pass, as {place in the pass: answer}, by what their choice depends on."""
    ready: dict[tuple[IdSet | None, Sampling], dict[int, Answer]] = {}
    for place, (slot, tokens) in enumerate(work):
        if slot.writing and slot.num_waiting == len(tokens):
            key = slot.writing.allowed_now(), slot.writing.settings.sampling
            ready.setdefault(key, {})[place] = slot.writing
    return ready


def answer_each(
    engine: GenerationEngine,
    requests: Iterable[tuple[Sequence[int], AnswerSettings]],
    *,
    enough: Callable[[int, Sequence[int]], bool] = lambda place, tokens: False,
) -> Iterator[tuple[int, Answer]]:
    """Answer every (prompt, settings) in slots that are free; yields (place in the input, answer) as they end.

    An answer is cancelled when `enough` is true of its place and its tokens so far. Requests are read as slots become
    free. Raises ValueError for one that the engine refuses, and EngineFullError if others hold every slot.
    """
    waiting = enumerate(requests)
    under_way: dict[int, Answer] = {}
    try:
        while True:
            room = engine.num_free if under_way else max(engine.num_free, 1)  # 1: `open` refuses if others hold all
            for number, (prompt, settings) in itertools.islice(waiting, room):
                under_way[number] = _begun(engine.open(), prompt, settings)
            if not under_way:
                return
            engine.step()
            for number, answer in under_way.items():
                if not answer.reason and enough(number, answer.tokens):
                    answer.cancel()
            for number in [number for number, answer in under_way.items() if answer.reason]:
                under_way[number].slot.close()
                yield number, under_way.pop(number)
    finally:
        for answer in under_way.values():
            answer.slot.close()


def _begun(slot: Slot, prompt: Sequence[int], settings: AnswerSettings) -> Answer:
    """The answer to a prompt in a new slot, which is closed if the engine refuses the prompt."""
    try:
        slot.append(prompt)
        return slot.answer(settings)
    except ValueError:
        slot.close()
        raise
