"""A stream's codes are the whole clip's, whatever the chunks; its memory is bounded; what it cannot take is named."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_speech.audio.features import torch_features
from megatron_speech.config.stages.bottleneck import BottleneckConfig
from megatron_speech.speech_tokenizer.training.start import narrow
from megatron_speech.speech_tokenizer.whisper_vq import WhisperVQTokenizer
from tests.unit.speech_tokenizer.toys import narrowed_config, noise, placed_model, toy_config

BLOCK = {"quantize_causal_block_size": 20}


def toy_tokenizer(**changes: object) -> WhisperVQTokenizer:
    if changes.keys() & {"quantize_causal_block_size", "encoder_causal_attention"}:
        changes = {"log_mel_floor": "block", **changes}
    config = narrowed_config(**changes)
    return WhisperVQTokenizer(placed_model(config, lively(config.max_samples, 3)), None, "")


def by_clips(tokenizer: WhisperVQTokenizer, waveform: np.ndarray) -> np.ndarray:
    """Codes of the waveform's pieces as long as the position table (here 4 s), each encoded whole."""
    size = tokenizer.model.config.max_samples
    clips = [waveform[start : start + size] for start in range(0, len(waveform), size)]
    return np.concatenate([np.empty(0, np.int32), *tokenizer.encode(clips)])


def lively(samples: int, seed: int) -> np.ndarray:
    """Noise whose level jumps, now and then to silence: the floor moves."""
    rng = np.random.default_rng(seed)
    gains = rng.choice(np.float32([0, 1e-5, 1e-2, 1, 5]), size=samples // 3000 + 1)
    return noise(samples, seed) * np.repeat(gains, 3000)[:samples]


@given(
    changes=st.fixed_dictionaries(
        {
            "quantize_causal_block_size": st.sampled_from([4, 20, 36, 100, 400]),
            "encoder_causal_convolution": st.booleans(),
            "quantize_vocab_size": st.sampled_from([2, 16, 40]),
            "quantize_subtract_position_means": st.booleans(),
            "pooling_position": st.sampled_from([1, 2]),
            "max_source_positions": st.sampled_from([200, 50]),
        }
    ),
    samples=st.integers(0, 150_000),
    cuts=st.lists(st.floats(0, 1), max_size=12),
    seed=st.integers(0, 9),
)
@settings(max_examples=25, deadline=None)
def test_any_chunks_give_the_codes_of_the_whole(
    changes: dict[str, object], samples: int, cuts: list[float], seed: int
) -> None:
    tokenizer = toy_tokenizer(**changes)
    waveform = lively(samples, seed)
    stream = tokenizer.streaming()
    chunks = np.split(waveform, sorted(int(cut * samples) for cut in cuts))
    codes = np.concatenate([*(stream.push(chunk) for chunk in chunks), stream.finish()])
    assert codes.dtype == np.int32
    assert np.array_equal(codes, by_clips(tokenizer, waveform))


@pytest.mark.parametrize("chunk", [1, 16, 3217])
@pytest.mark.parametrize("shape", [BLOCK, {"encoder_causal_attention": True, "encoder_causal_convolution": True}])
def test_small_chunks_give_the_codes_of_the_whole(shape: dict[str, object], chunk: int) -> None:
    tokenizer = toy_tokenizer(**shape)
    waveform = lively(7_000, 3)
    stream = tokenizer.streaming()
    codes = [stream.push(waveform[start : start + chunk]) for start in range(0, len(waveform), chunk)]
    expected = tokenizer.encode([waveform])[0]
    assert len(set(expected.tolist())) > 2
    assert np.array_equal(np.concatenate([*codes, stream.finish()]), expected)


@pytest.mark.parametrize(("causal", "wait"), [(True, 40), (False, 200)])
def test_a_block_comes_with_the_sample_that_completes_it(causal: bool, wait: int) -> None:
    """20 encoder frames are 6400 samples; its last window reaches 40 further, a centred convolution one hop more."""
    tokenizer = toy_tokenizer(encoder_causal_convolution=causal, **BLOCK)
    waveform = lively(20_000, 1)
    stream = tokenizer.streaming()
    assert len(stream.push(waveform[: 6400 + wait - 1])) == 0
    first = stream.push(waveform[6400 + wait - 1 : 6400 + wait])
    assert np.array_equal(first, tokenizer.encode([waveform])[0][:5])


@pytest.mark.parametrize("causal", [True, False])
def test_nothing_behind_a_block_changes_its_codes(causal: bool) -> None:
    tokenizer = toy_tokenizer(encoder_causal_convolution=causal, **BLOCK)
    waveform, changed = lively(30_000, 1), lively(30_000, 1)
    changed[2 * 6400 + 200 :] = 100 * noise(30_000 - 2 * 6400 - 200, 7)
    codes = tokenizer.encode([waveform, changed])
    assert np.array_equal(codes[0][:10], codes[1][:10]) and not np.array_equal(codes[0], codes[1])


@pytest.mark.parametrize("causal", [True, False])
def test_batches_under_a_mask_give_the_codes_of_blocks(causal: bool) -> None:
    tokenizer = toy_tokenizer(**BLOCK, encoder_causal_convolution=causal)
    clips = [lively(samples, samples) for samples in (9_000, 64_000, 641, 31_999, 20_000)]
    exact = tokenizer.encode(clips)
    tokenizer.masked = True
    masked = tokenizer.encode(clips)
    assert [codes.tolist() for codes in masked] == [codes.tolist() for codes in exact]


def test_the_table_of_positions_begins_anew() -> None:
    """The codes of the last block of 4 s come without waiting for more."""
    tokenizer = toy_tokenizer(**BLOCK)
    stream = tokenizer.streaming()
    waveform = lively(64_000, 1)
    assert len(stream.push(waveform)) == 50
    assert np.array_equal(stream.push(waveform), tokenizer.encode([waveform])[0])
    assert len(stream.finish()) == 0


def live_bytes() -> int:
    """Memory of all tensors that anything still refers to."""
    gc.collect()
    storages = [item.untyped_storage() for item in gc.get_objects() if issubclass(type(item), torch.Tensor)]
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def test_memory_does_not_grow() -> None:
    stream = toy_tokenizer(**BLOCK).streaming()
    chunk = lively(20_000, 1)
    stream.push(chunk)
    held = live_bytes()
    assert sum(len(stream.push(chunk)) for _ in range(10)) >= 10 * 15 - 5
    # A clip's frames would be 1250 log-mel frames of 80 bins, 400 kB.
    assert live_bytes() <= held + 1_000
    assert stream.held_bytes < 1_000_000


def test_what_is_live_would_show_a_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    """The measure of the test above sees frames that a stream keeps."""
    stream, kept = toy_tokenizer(**BLOCK).streaming(), []
    step = stream.codes.step
    monkeypatch.setattr(stream.codes, "step", lambda mel, **end: (kept.append(mel), step(mel, **end))[1])
    held = live_bytes()
    stream.push(lively(20_000, 1))
    assert live_bytes() > held + 3 * 40 * 80 * 4 - 1 and len(kept) == 3


def test_a_stream_never_fed_has_no_codes() -> None:
    stream = toy_tokenizer(**BLOCK).streaming()
    assert len(stream.push(np.empty(0, np.float32))) == len(stream.finish()) == 0


@pytest.mark.parametrize(
    ("samples", "rate", "message"),
    [
        (np.float32([0, np.nan]), 16000, "chunk at 0.5 s: 1 of 2 samples are not finite"),
        (np.zeros(5, np.int16), 16000, "chunk at 0.5 s: dtype int16 is not float; divide"),
        (np.zeros((5, 2), np.float32), 16000, r"chunk at 0.5 s: shape \(5, 2\) is not one channel; take"),
        (np.zeros(5, np.float32), 8000, "chunk at 0.5 s: sample_rate=8000 must be 16000; resample"),
    ],
)
def test_a_bad_chunk_is_named_and_leaves_the_stream_as_it_was(samples: np.ndarray, rate: int, message: str) -> None:
    tokenizer = toy_tokenizer(**BLOCK)
    waveform = lively(20_000, 2)
    stream = tokenizer.streaming()
    before = stream.push(waveform[:8000])
    with pytest.raises(ValueError, match=message):
        stream.push(samples, sample_rate=rate)
    codes = np.concatenate([before, stream.push(waveform[8000:]), stream.finish()])
    assert np.array_equal(codes, tokenizer.encode([waveform])[0])


def test_a_finished_stream_takes_no_more() -> None:
    stream = toy_tokenizer(**BLOCK).streaming()
    stream.finish()
    with pytest.raises(ValueError, match="this stream is finished; make a new"):
        stream.push(np.zeros(5, np.float32))
    with pytest.raises(ValueError, match="this stream is finished; make a new"):
        stream.finish()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "tokenizer is bidirectional .*; use one trained with bottleneck.block_seconds"),
        ({"encoder_causal_convolution": True}, "tokenizer is bidirectional"),
        ({"log_mel_floor": "clip", **BLOCK}, 'log_mel_floor=clip is the clip\'s .*; set "log_mel_floor": "block" in'),
        ({"log_mel_floor": None, **BLOCK}, "log_mel_floor=null is the clip's floor, .*, which changes the codes"),
    ],
)
def test_what_looks_ahead_cannot_stream(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        toy_tokenizer(**changes).streaming()


def test_frames_of_another_kind_cannot_stream() -> None:
    tokenizer = toy_tokenizer(**BLOCK)
    tokenizer.features = lambda *args, **kwargs: torch_features(*args, **kwargs)
    with pytest.raises(ValueError, match="features must be torch's"):
        tokenizer.streaming()


@pytest.mark.parametrize(
    ("seconds", "frame_rate", "frames"),
    [(2.0, 12.5, 100), (4.0, 25, 200), (0.56, 12.5, 28), (None, 12.5, None), (None, 6.25, None), (0.16, 6.25, 8)],
)
def test_training_writes_its_blocks_into_the_shape(
    seconds: float | None, frame_rate: float, frames: int | None
) -> None:
    shape = toy_config(max_source_positions=1500)
    bottleneck = BottleneckConfig(
        block_seconds=seconds,
        causal_convolution=True,
        frame_rate=frame_rate,
        pooling_position=1,
    )
    narrow(shape, bottleneck, dropout=0.0)
    shape.require_supported("bottleneck")
    assert shape.block_frames == shape.quantize_causal_block_size == frames and shape.encoder_causal_convolution
    assert (shape.floor_blocks is not None) == (frames is not None), "a stream cannot know a clip's floor"


def test_a_tokenizer_trained_further_keeps_its_floor() -> None:
    """A released folder leaves the key out: the clip's floor is what its codes were learnt with."""
    shape = narrowed_config(quantize_causal_block_size=100)
    narrow(shape, BottleneckConfig(block_seconds=2, pooling_position=1), dropout=0.0)
    assert shape.log_mel_floor is None and shape.floor_blocks is None


@pytest.mark.parametrize("pooling", [4, 8])
def test_a_stream_over_tables_that_are_no_whole_codes_is_its_pieces(pooling: int) -> None:
    """50 positions: 12 codes of 4 or 6 of 8, and the table begins anew before its last two positions."""
    tokenizer = toy_tokenizer(
        max_source_positions=50,
        pooling_kernel_size=pooling,
        quantize_causal_block_size=16,
        quantize_subtract_position_means=True,
    )
    waveform = lively(3 * tokenizer.model.config.max_samples + 5_000, 4)
    stream = tokenizer.streaming()
    chunks = [stream.push(waveform[start : start + 7_777]) for start in range(0, len(waveform), 7_777)]
    codes = np.concatenate([*chunks, stream.finish()])
    assert len(set(codes.tolist())) > 3 and np.array_equal(codes, by_clips(tokenizer, waveform))


@pytest.mark.parametrize("seconds", [0.1, 0.0, 2.01])
def test_a_block_that_cuts_a_code_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match=r"block_seconds=.* must hold a whole number of codes .*=12.5; use .* 0.08"):
        BottleneckConfig(block_seconds=seconds)


@pytest.mark.parametrize("seconds", [-2.0, 1e9])
def test_a_block_beyond_what_the_encoder_takes_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match=r"block_seconds=.* must lie in 0 to 30; .*null is bidirectional"):
        BottleneckConfig(block_seconds=seconds)
