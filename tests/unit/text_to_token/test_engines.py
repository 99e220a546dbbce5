"""One interface over two engines: the same greedy ids, and an engine that dies named in one line."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from megatron_speech.config.stages.text_to_token import SynthesisConfig
from megatron_speech.inference.decoder import Decoder
from megatron_speech.inference.generate import Request, in_order
from megatron_speech.inference.model import LanguageModel
from megatron_speech.inference.sampling import Sampling
from megatron_speech.text_to_token.engines.interface import EngineError
from megatron_speech.text_to_token.engines.table import require_engine
from megatron_speech.text_to_token.engines.transformers import TransformersEngine
from megatron_speech.text_to_token.engines.vllm import VllmEngine
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from tests.toys import byte_vocabulary, tiny_llama

HAS_VLLM = importlib.util.find_spec("vllm") is not None
REQUESTS = [Request(prompt=[1 + n] * (2 + n), max_new_tokens=3 + 2 * n, seed=n) for n in range(9)]


def _model() -> LanguageModel:
    vocabulary = byte_vocabulary(40)
    network = tiny_llama(vocabulary, seed=3, initializer_range=0.3, hidden_size=256)  # heads of 64: vLLM's narrowest
    return LanguageModel(network=network, tokenizer=TextTokenizer.load("bytes"), vocabulary=vocabulary)


def test_an_engine_that_dies_is_named_and_what_it_gave_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    model = _model()
    engine = TransformersEngine(model=model, sampling=Sampling(temperature=0), batch_size=2)
    extend, passes = Decoder.extend, 0

    def fails_at_last(*args: Any, **kwargs: Any) -> torch.Tensor:
        nonlocal passes
        passes += 1
        if passes > 20:
            raise RuntimeError("out of\nmemory")
        return extend(*args, **kwargs)

    monkeypatch.setattr(Decoder, "extend", fails_at_last)
    kept = {}
    with pytest.raises(
        EngineError, match=r"^synthesis\.engine=transformers died \(RuntimeError: out of memory\).*again$"
    ):
        kept.update(engine.generate(iter(REQUESTS)))  # dict.update keeps what came before the error
    monkeypatch.undo()
    whole = dict(engine.generate(REQUESTS))
    assert 0 < len(kept) < len(whole)
    assert all(whole[number] == generation for number, generation in kept.items())


def test_a_mistake_in_the_requests_is_not_the_engine_s() -> None:
    def requests():
        yield REQUESTS[0]
        raise ValueError("corpus.jsonl, line 7: not JSON; fix the line")

    engine = TransformersEngine(model=_model(), sampling=Sampling(temperature=0))
    with pytest.raises(ValueError, match="line 7") as error:
        list(engine.generate(requests()))
    assert not isinstance(error.value, EngineError)


@pytest.mark.skipif(HAS_VLLM, reason="vLLM is installed")
def test_an_engine_that_is_not_installed_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"synthesis\.engine=vllm cannot be imported .*megatron-speech\[serve\]"):
        VllmEngine(tmp_path, vocabulary=byte_vocabulary(40), settings=SynthesisConfig(engine="vllm"))


@pytest.mark.skipif(not HAS_VLLM, reason="needs vLLM: pip install 'megatron-speech[serve]'")
def test_both_engines_give_the_same_greedy_ids(tmp_path: Path) -> None:
    model = _model()
    model.network.save_pretrained(tmp_path)
    settings = SynthesisConfig(engine="vllm", temperature=0, batch_size=4)
    ours = TransformersEngine(model=model, sampling=Sampling(temperature=0), batch_size=4).generate(REQUESTS)
    theirs = VllmEngine(tmp_path, vocabulary=model.vocabulary, settings=settings).generate(REQUESTS)
    assert in_order(ours, len(REQUESTS)) == in_order(theirs, len(REQUESTS))


class FakeVllm:
    """The part of LLMEngine that is used: two requests finish per step, last first; it dies at step `dies_at`."""

    def __init__(self, dies_at: int = 1000) -> None:
        self.waiting: dict[str, Any] = {}
        self.most = self.steps = 0
        self.dies_at = dies_at

    def add_request(self, request_id: str, prompt: dict[str, list[int]], params: Any) -> None:
        self.waiting[request_id] = (prompt["prompt_token_ids"], params)
        self.most = max(self.most, len(self.waiting))

    def step(self) -> list[Any]:
        self.steps += 1
        if self.steps == self.dies_at:
            raise RuntimeError("engine core\nis dead")
        finished = [(each, *self.waiting.pop(each)) for each in list(self.waiting)[-2:]]
        return [
            SimpleNamespace(
                finished=True,
                request_id=number,
                outputs=[SimpleNamespace(token_ids=[*ids, params.stop_token_ids[0]][: params.max_tokens])],
            )
            for number, ids, params in finished
        ]

    def abort_request(self, request_ids: list[str]) -> None:
        for each in request_ids:
            del self.waiting[each]


def _fake_vllm(monkeypatch: pytest.MonkeyPatch, fake: FakeVllm) -> VllmEngine:
    module = ModuleType("vllm")
    vars(module).update(
        EngineArgs=SimpleNamespace,
        SamplingParams=SimpleNamespace,
        LLMEngine=SimpleNamespace(from_engine_args=lambda _: fake),
    )
    monkeypatch.setitem(sys.modules, "vllm", module)
    return VllmEngine(Path("hf"), vocabulary=byte_vocabulary(40), settings=SynthesisConfig(engine="vllm", batch_size=2))


def test_vllm_is_fed_two_batches_ahead_and_its_stop_id_is_taken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeVllm()
    results = in_order(_fake_vllm(monkeypatch, fake).generate(iter(REQUESTS)), len(REQUESTS))
    assert fake.most == 4
    for request, generation in zip(REQUESTS, results, strict=True):
        assert generation.tokens == list(request.prompt)[: request.max_new_tokens]
        assert generation.stopped == (request.max_new_tokens > len(request.prompt))


def test_what_vllm_gave_before_it_died_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {}
    with pytest.raises(EngineError, match=r"^synthesis\.engine=vllm died \(RuntimeError: engine core is dead\)"):
        kept.update(_fake_vllm(monkeypatch, FakeVllm(dies_at=3)).generate(REQUESTS))
    assert len(kept) == 4


def test_a_stream_that_is_left_leaves_nothing_in_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeVllm()
    stream = _fake_vllm(monkeypatch, fake).generate(REQUESTS)
    next(stream)
    stream.close()
    assert not fake.waiting


def test_an_unknown_engine_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"^synthesis\.engine=vlm must be one of transformers, vllm; correct it$"):
        require_engine("vlm")
