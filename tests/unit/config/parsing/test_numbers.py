"""Numbers that no run can mean are refused where they are read: key, value and rule in one line."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from megatron_speech.config.inspection.plan_parameters import PlanParametersConfig
from megatron_speech.config.reports.precision_report import GradientErrorConfig
from megatron_speech.config.reports.tokenizer_report import RobustnessConfig, TokenizerReportConfig
from megatron_speech.config.run.data import DataConfig, SourceConfig
from megatron_speech.config.run.model import ModelConfig
from megatron_speech.config.run.training import OptimizerConfig, TrainConfig
from megatron_speech.config.stages.bottleneck import BottleneckConfig
from megatron_speech.config.stages.convert import ConvertToHfConfig
from megatron_speech.config.stages.stream_speech import StreamSpeechConfig
from megatron_speech.config.stages.tokenize_speech import TokenizeSpeechConfig
from megatron_speech.config.stages.train_speech_tokenizer import (
    AugmentConfig,
    SpeechSourceConfig,
    TrainSpeechTokenizerConfig,
)

HERE = Path("x")
DATA = DataConfig(sources={"text": SourceConfig(folder=HERE, task="text")})
NEEDED: dict[type, dict[str, Any]] = {
    ConvertToHfConfig: {"checkpoint": HERE, "vocabulary": HERE, "output": HERE},
    StreamSpeechConfig: {"tokenizer": HERE},
    TokenizeSpeechConfig: {"tokenizer": HERE, "audio": HERE, "output": HERE},
    TokenizerReportConfig: {"tokenizer": HERE, "audio": {"a": HERE}, "output": HERE},
    TrainSpeechTokenizerConfig: {
        "output": HERE,
        "whisper": HERE,
        "sources": {"a": SpeechSourceConfig(audio=HERE)},
    },
    PlanParametersConfig: {"folder": HERE, "data": DATA, "num_text_ids": 60, "num_speech_ids": 60},
}


@pytest.mark.parametrize(
    ("schema", "key", "value"),
    [
        (ModelConfig, "init_method_std", -1.0),
        (ModelConfig, "init_method_std", math.nan),
        (ModelConfig, "norm_epsilon", -1.0),
        (ModelConfig, "rotary_base", 0.0),
        (ModelConfig, "rotary_base", math.inf),
        (ModelConfig, "max_position_embeddings", 0),
        (OptimizerConfig, "adam_beta1", 1.0),
        (OptimizerConfig, "adam_beta2", 1.0),
        (OptimizerConfig, "adam_eps", 0.0),
        (TrainConfig, "tokens", 10**18),
        (TrainConfig, "global_batch_size", 10**18),
        (ConvertToHfConfig, "max_shard_gb", 1e300),
        (ConvertToHfConfig, "max_shard_gb", math.nan),
        (PlanParametersConfig, "padding_multiple", 0),
        (PlanParametersConfig, "num_text_ids", 0),
        (PlanParametersConfig, "num_speech_ids", -5),
        (BottleneckConfig, "codebook_size", 10**12),
        (BottleneckConfig, "block_seconds", 1e9),
        (BottleneckConfig, "block_seconds", math.nan),
        (BottleneckConfig, "commit_coefficient", math.nan),
        (AugmentConfig, "time_masks", 10**12),
        (AugmentConfig, "noise_snr_db", (math.nan, 3.0)),
        (AugmentConfig, "noise_snr_db", (0.0, math.inf)),
        (TrainSpeechTokenizerConfig, "batch_seconds", 1e9),
        (TrainSpeechTokenizerConfig, "micro_batch_seconds", math.inf),
        (TrainSpeechTokenizerConfig, "learning_rate", 1e300),
        (TrainSpeechTokenizerConfig, "seed", 2**64),
        (TrainSpeechTokenizerConfig, "seed", -1),
        (TokenizeSpeechConfig, "batch_seconds", 1e300),
        (TokenizeSpeechConfig, "silence_peak_dbfs", math.nan),
        (StreamSpeechConfig, "chunk_seconds", 1e300),
        (TokenizerReportConfig, "seed", 10**30),
        (TokenizerReportConfig, "resamples", 10**12),
        (RobustnessConfig, "seed", 10**30),
    ],
)
def test_a_number_without_meaning_is_refused_by_its_key(schema: Any, key: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"{key}=.*must .*; ") as caught:
        schema(**{**NEEDED.get(schema, {}), key: value})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [math.inf, math.nan])
@pytest.mark.parametrize("key", ["weight", "max_epochs"])
def test_an_endless_source_is_refused(key: str, value: float) -> None:
    source = SourceConfig(folder=HERE, task="text", **{key: value})
    with pytest.raises(ValueError, match=rf"data\.sources\.text: .*{key}={value}.* must lie in 0 to 1e15"):
        DataConfig(sources={"text": source})


def test_gradients_of_no_source_are_refused() -> None:
    with pytest.raises(ValueError, match=r"data\.sources needs at least one source"):
        GradientErrorConfig(checkpoint=HERE, output=HERE, data=DataConfig())
