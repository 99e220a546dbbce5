"""Settings of interleaving and evaluation: a mistake is named by key, value, rule and remedy, before any reading."""

from pathlib import Path

import pytest

from megatron_speech.config.stages.build_interleaved import (
    BuildInterleavedConfig,
    InterleavedCorpusConfig,
    NoiseConfig,
    SpansConfig,
)
from megatron_speech.config.stages.evaluate import EvaluateConfig, GeoQaConfig, HeldOutConfig
from megatron_speech.interleave.spans import check_span_settings

P = Path("x")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SpansConfig(ratio=0.7), r"spans\.ratio=0\.7 must"),
        (lambda: SpansConfig(mean_length=0), r"spans\.mean_length=0 must"),
        (lambda: InterleavedCorpusConfig(path=P, renderings=0), r"renderings=0 of x must"),
        (lambda: InterleavedCorpusConfig(path=P, max_documents=0), r"max_documents=0 of x must"),
        (lambda: BuildInterleavedConfig(corpora={}, model=P, vocabulary=P, output=P), "corpora is empty"),
        (lambda: NoiseConfig(speech_tokenizer=P, spans_per_shard=0), r"noise\.spans_per_shard=0 must"),
        (lambda: NoiseConfig(speech_tokenizer=P, max_wer=0.0), r"noise\.max_wer=0\.0 must"),
        (lambda: NoiseConfig(speech_tokenizer=P, max_quarantined_share=1.0), r"noise\.max_quarantined_share=1\.0 must"),
        (
            lambda: BuildInterleavedConfig(
                corpora={"a": InterleavedCorpusConfig(path=P)}, model=P, vocabulary=P, output=P, shard_documents=0
            ),
            r"shard_documents=0 must",
        ),
        (lambda: HeldOutConfig(max_tokens=1), r"held_out\.max_tokens=1 must"),
        (lambda: HeldOutConfig(max_documents=0), r"held_out\.max_documents=0 must"),
        (lambda: EvaluateConfig(model=P, output=P), "nothing to measure"),
        (
            lambda: EvaluateConfig(model=P, output=P, geo_qa=GeoQaConfig(texts=P, codes=P, max_items=0)),
            r"geo_qa\.max_items=0 must",
        ),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(("ratio", "mean_length"), [(0.3, 10), (0.5, 1), (0.0, 10), (0.51, 10), (0.3, 0.9), (0.3, 2e6)])
def test_the_sampler_and_its_settings_state_the_same_rules(ratio, mean_length):
    def refused(check) -> bool:
        try:
            check()
        except ValueError:
            return True
        return False

    assert refused(lambda: SpansConfig(ratio=ratio, mean_length=mean_length)) == refused(
        lambda: check_span_settings(ratio, mean_length)
    )
