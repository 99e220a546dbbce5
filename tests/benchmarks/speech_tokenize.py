#!/usr/bin/env python
"""FLAC shards to code shards against the bare encoder: speech per CPU-second, one thread; one JSON line last.

Clips of 1 to 30 s go through the tool's own path: tar, checksum, FLAC, log-mel, batches, encoder, codes, token shards,
joining. The bare call is the encoder, codebook included, on the batches that this path made, kept in memory with their
features; its result is thrown away. Those batches are padded, so `ratio` does not show what padding costs: `padding`
does, the share of frames that the encoder computes beside the speech. Both in one process, alternating; CPU time of all
threads, medians. Shapes are Whisper's with random weights, pooled to 12.5 Hz and quantised behind layer 2 as in
examples/miniature; "tiny_blocks" is causal in blocks of 2 s (clip by clip, without padding); "released" is the
GLM-4-Voice tokenizer's, causal in blocks of 4 s, and slow. Reading the model, once per process, is given apart.
"""

import argparse
import json
import logging
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from megatron_speech.artifacts.manifest import make_artifact
from megatron_speech.audio.shards import AudioRecord, read_audio_shards, write_audio_shards
from megatron_speech.config.stages.tokenize_speech import TokenizeSpeechConfig
from megatron_speech.speech_tokenizer.blockwise import encode_blockwise
from megatron_speech.speech_tokenizer.config import WhisperVQConfig
from megatron_speech.speech_tokenizer.corpus.run import tokenize_speech
from megatron_speech.speech_tokenizer.encoder import MelBatch
from megatron_speech.speech_tokenizer.model import SpeechRecognitionModel, save_model
from megatron_speech.speech_tokenizer.whisper_vq import WhisperVQTokenizer

LIMIT = 0.85
RATE = 16000
SHAPES = {  # width, heads, mel bins, layers before the codebook, codes, encoder frames per block
    "tiny": (384, 6, 80, 2, 1024, None),
    "base": (512, 8, 80, 2, 1024, None),
    "tiny_blocks": (384, 6, 80, 2, 1024, 100),
    "released": (1280, 20, 128, 16, 16384, 200),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="small, and nothing is judged")
    parser.add_argument(
        "--audio", type=Path, help="audio shards to cut the clips from; by default noise shaped as speech"
    )
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=["tiny"], help="the first is judged")
    parser.add_argument("--seconds", type=int, default=300, help="speech to encode")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    if args.short:
        args.seconds, args.repeats = 20, 1
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_clips(folder / "audio", args.audio, seconds=args.seconds)
        results = {shape: measure(folder, shape, repeats=args.repeats) for shape in args.shapes}
    judged = results[args.shapes[0]]
    print(json.dumps({"name": "speech_tokenize", **judged, "limit": LIMIT, "better": "higher", "by_shape": results}))
    raise SystemExit(0 if args.short or judged["ratio"] >= LIMIT else 1)


def measure(folder: Path, shape: str, *, repeats: int) -> dict[str, float]:
    """Medians of both sides for one shape."""
    tokenizer = write_tokenizer(folder / shape, shape)
    config = TokenizeSpeechConfig(tokenizer=tokenizer, audio=folder / "audio", output=folder / "codes")

    def whole() -> None:
        shutil.rmtree(config.output, ignore_errors=True)
        tokenize_speech(config)

    batches = batches_of(whole)  # also warms up, and loads the model
    encoder = WhisperVQTokenizer.load(tokenizer).model.encoder
    blocks = encoder.config.block_frames is not None

    def bare() -> None:
        with torch.no_grad():
            for batch in batches:
                if blocks:
                    encode_blockwise(encoder, batch)
                else:
                    encoder.encode(batch)

    def loading() -> None:
        WhisperVQTokenizer.load(tokenizer)

    times: dict[str, list[float]] = {"bare": [], "whole": [], "loading": []}
    for _ in range(repeats):
        for name, work in (("bare", bare), ("whole", whole), ("loading", loading)):
            times[name].append(cpu_seconds(work))
    bare_s, whole_s, loading_s = (statistics.median(times[name]) for name in ("bare", "whole", "loading"))
    speech_s = sum(len(record.waveform) for record in read_audio_shards(folder / "audio")) / RATE
    padded = (batch.frames_B.sum() if blocks else len(batch.frames_B) * batch.frames_B.max() for batch in batches)
    frames = sum(map(int, padded))
    return {
        "ratio": round(bare_s / whole_s, 4),
        "ratio_with_loading": round(bare_s / (whole_s + loading_s), 4),
        "loading_s": round(loading_s, 3),
        "speech_s_per_cpu_s": round(speech_s / whole_s, 1),
        "bare_speech_s_per_cpu_s": round(speech_s / bare_s, 1),
        "padding": round(frames / 100 / speech_s - 1, 4),
    }


def batches_of(work: Callable[[], None]) -> list[MelBatch]:
    """What the encoder is given while `work` runs, block by block or as a whole."""
    batches: list[MelBatch] = []
    encode = WhisperVQTokenizer.encode_batch

    def recording(tokenizer: WhisperVQTokenizer, batch: MelBatch) -> list[torch.Tensor]:
        batches.append(batch)
        return encode(tokenizer, batch)

    WhisperVQTokenizer.encode_batch = recording
    try:
        work()
    finally:
        WhisperVQTokenizer.encode_batch = encode
    assert batches, "the tool encoded by another way"
    return batches


def cpu_seconds(work: Callable[[], None]) -> float:
    """CPU time of all threads of this process."""
    start = time.process_time()
    work()
    return time.process_time() - start


def write_tokenizer(folder: Path, shape: str) -> Path:
    """A tokenizer of a shape with random weights, its encoder alone."""
    width, heads, mels, layers, codes, block = SHAPES[shape]
    torch.manual_seed(0)
    config = WhisperVQConfig(
        num_mel_bins=mels,
        d_model=width,
        encoder_layers=layers,
        encoder_attention_heads=heads,
        encoder_ffn_dim=4 * width,
        pooling_kernel_size=4,
        pooling_type="avg",
        pooling_position=layers,
        quantize_position=layers,
        quantize_vocab_size=codes,
        quantize_encoder_only=True,
        quantize_causal_block_size=block,
        encoder_causal_convolution=block is not None,
    )
    save_model(SpeechRecognitionModel(config), folder, text_from=folder)
    return folder


def write_clips(folder: Path, source: Path | None, *, seconds: int) -> None:
    """Audio shards of clips of 1 to 30 s, cut from the speech of `source` or made up."""
    rng = np.random.default_rng(0)
    lengths: list[int] = []
    while sum(lengths) < seconds * RATE:
        lengths.append(int(rng.uniform(1, 30) * RATE))
    speech = made_up(sum(lengths)) if source is None else borrowed(source, sum(lengths))

    def records() -> Iterator[AudioRecord]:
        for number, waveform in enumerate(np.split(speech, np.cumsum(lengths)[:-1])):
            yield AudioRecord(key=f"clip-{number}", waveform=waveform, text="", meta={"voice": "any"})

    with make_artifact(folder, kind="audio", config={}) as draft:
        draft.facts = write_audio_shards(draft.folder, records(), name="audio", utterances_per_shard=200)


def borrowed(source: Path, num_samples: int) -> np.ndarray:
    """The speech of audio shards end to end, from the start again where it is too short."""
    parts: list[np.ndarray] = []
    found = 0
    while found < num_samples:
        for record in read_audio_shards(source):
            parts.append(record.waveform)
            found += len(record.waveform)
            if found >= num_samples:
                break
    return np.concatenate(parts)[:num_samples]


def made_up(num_samples: int) -> np.ndarray:
    """Noise with the falling spectrum of speech and its four syllables a second."""
    noise = np.random.default_rng(1).standard_normal(num_samples)
    spectrum = np.fft.rfft(noise)
    hertz = np.linspace(0, RATE / 2, len(spectrum))
    shaped = np.fft.irfft(spectrum * hertz / (100 + hertz) / (1 + hertz / 500), num_samples)
    syllables = np.sin(2 * np.pi * 2 * np.arange(num_samples) / RATE) ** 2
    return (0.3 * shaped * syllables / np.abs(shaped).max()).astype(np.float32)


if __name__ == "__main__":
    main()
