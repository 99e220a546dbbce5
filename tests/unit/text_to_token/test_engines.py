"""One interface over two engines: the same greedy ids, and an engine that dies named in one line."""

import importlib.util
from pathlib import Path

import pytest

from megatron_speech.config.text_to_token import SynthesisConfig
from megatron_speech.inference.generate import Request, in_order
from megatron_speech.inference.model import LanguageModel
from megatron_speech.inference.sampling import Sampling
from megatron_speech.text_to_token.engines import EngineError, TransformersEngine, VllmEngine
from megatron_speech.text_tokenizer import TextTokenizer
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
    decoder, passes = model.network.get_decoder(), 0
    forward = decoder.forward

    def fails_at_last(*args: object, **kwargs: object) -> object:
        nonlocal passes
        passes += 1
        if passes > 30:
            raise RuntimeError("out of\nmemory")
        return forward(*args, **kwargs)

    monkeypatch.setattr(decoder, "forward", fails_at_last)
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
    def requests():  # type: ignore[no-untyped-def]
        yield REQUESTS[0]
        raise ValueError("corpus.jsonl, line 7: not JSON; fix the line")

    engine = TransformersEngine(model=_model(), sampling=Sampling(temperature=0))
    with pytest.raises(ValueError, match="line 7") as error:
        list(engine.generate(requests()))
    assert not isinstance(error.value, EngineError)


@pytest.mark.skipif(HAS_VLLM, reason="vLLM is installed")
def test_an_engine_that_is_not_installed_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"synthesis\.engine=vllm: .*megatron-speech\[serve\]"):
        VllmEngine(tmp_path, vocabulary=byte_vocabulary(40), settings=SynthesisConfig(engine="vllm"))


@pytest.mark.skipif(not HAS_VLLM, reason="needs vLLM: pip install 'megatron-speech[serve]'")
def test_both_engines_give_the_same_greedy_ids(tmp_path: Path) -> None:
    model = _model()
    model.network.save_pretrained(tmp_path)
    settings = SynthesisConfig(engine="vllm", temperature=0, batch_size=4)
    ours = TransformersEngine(model=model, sampling=Sampling(temperature=0), batch_size=4).generate(REQUESTS)
    theirs = VllmEngine(tmp_path, vocabulary=model.vocabulary, settings=settings).generate(REQUESTS)
    assert in_order(ours, len(REQUESTS)) == in_order(theirs, len(REQUESTS))
