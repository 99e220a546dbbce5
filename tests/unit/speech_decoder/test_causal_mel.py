"""The causal network: a stream gives the mel frames of the whole, however it is cut, and waits for three tokens."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from megatron_speech.config.stages.causal_decoder import PriorConfig, SpeakingConfig
from megatron_speech.speech_decoder.causal_mel import CausalMel
from megatron_speech.speech_decoder.flow import normals
from megatron_speech.speech_decoder.frame_clock import SUBFRAMES, FrameClock
from tests.unit.speech_decoder.causal_toys import CODES, SHAPE, toy_net

GUIDED = SpeakingConfig(voice="bo", steps=4, schedule="cosine", token_guidance=0.7, voice_guidance=0.3, seed=5)
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}


def utterances(count: int = 20) -> list[Tensor]:
    """Codes of utterances of 1 to 40 tokens."""
    generator = torch.Generator().manual_seed(1)
    lengths = [1, 2, 3, 4, *torch.randint(5, 40, (count,), generator=generator).tolist()][:count]
    return [torch.randint(CODES, (length,), generator=generator) for length in lengths]


def cut(codes: Tensor, size: int | None) -> Sequence[Tensor]:
    """Pieces of `size` tokens, or of random sizes with empty ones among them."""
    if size is not None:
        return codes.split(size)
    drawn, pieces, start = random.Random(len(codes)), [], 0
    while start < len(codes):
        pieces.append(codes[start : start + drawn.choice([0, 1, 2, 5, 13])])
        start += len(pieces[-1])
    return pieces


def streamed(net: CausalMel, pieces: Sequence[Tensor], speaking: SpeakingConfig) -> Tensor:
    stream = net.stream(speaking)
    return torch.cat([*(stream.push(piece) for piece in pieces), stream.finish()])


def at_once(net: CausalMel, codes: Tensor, speaking: SpeakingConfig) -> Tensor:
    """Mel frames as the trainer computes them: all tokens and the empty ones in one forward pass."""
    from megatron_speech.speech_decoder.flow import Solver

    voice = net.voices(torch.tensor([net.voice_number(speaking.voice)]))
    with torch.no_grad():
        predicted = net.prior(codes[None], torch.tensor([len(codes)]), voice)
        standard = predicted.mu_BTM
        if speaking.steps:
            solver = Solver(net.flow, speaking, steps=speaking.steps, spans=False)
            standard = standard + solver.residual(net.condition(predicted, voice)) * net.residual_std / net.mel_std
    return (standard * net.mel_std + net.mel_mean)[0]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(
    ("speaking", "count"), [(SpeakingConfig(steps=0), 5), (SpeakingConfig(steps=2, voice="ada"), 20), (GUIDED, 5)]
)
def test_every_cutting_gives_the_frames_of_the_whole(dtype: torch.dtype, speaking: SpeakingConfig, count: int) -> None:
    net = toy_net().to(dtype)
    for codes in utterances(count):
        whole = at_once(net, codes, speaking)
        assert whole.dtype == dtype and len(whole) == net.clock.num_frames(len(codes)) and whole.std() > 0.5
        for size in (1, 2, 3, 7, 10, 25, None):
            made = streamed(net, cut(codes, size), speaking)
            torch.testing.assert_close(made, whole, rtol=0, atol=TOLERANCE[dtype])
        torch.testing.assert_close(net.decode(codes, speaking), whole, rtol=0, atol=TOLERANCE[dtype])


def test_ten_interleaved_streams_equal_each_alone() -> None:
    net, codes = toy_net().double(), utterances(10)
    settings = [SpeakingConfig(seed=seed, steps=seed % 3, voice=("ada", None)[seed % 2]) for seed in range(10)]
    alone = [streamed(net, [each], speaking) for each, speaking in zip(codes, settings, strict=True)]
    streams = [net.stream(speaking) for speaking in settings]
    waiting: list[Iterator[Tensor]] = [iter(cut(each, None)) for each in codes]
    made: list[list[Tensor]] = [[] for _ in codes]
    while any(stream is not None for stream in waiting):
        for number, pieces in enumerate(waiting):
            piece = next(pieces, None) if pieces is not None else None
            if piece is not None:
                made[number].append(streams[number].push(piece))
            elif pieces is not None:
                made[number].append(streams[number].finish())
                waiting[number] = None
    for pieces, whole in zip(made, alone, strict=True):
        torch.testing.assert_close(torch.cat(pieces), whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize("look_ahead", [0, 1, 3])
def test_a_frame_depends_on_its_look_ahead_and_on_nothing_later(look_ahead: int) -> None:
    prior = PriorConfig(token_channels=24, token_layers=2, frame_channels=16, frame_layers=2, look_ahead=look_ahead)
    net = toy_net(prior=prior)
    codes = torch.arange(20)
    changed = codes.clone()
    changed[12] = 63
    first = net.clock.num_frames(12 - look_ahead)
    one, other = (net.decode(each, SpeakingConfig(steps=2)) for each in (codes, changed))
    assert torch.equal(one[:first], other[:first])
    assert not torch.allclose(one[first:], other[first:], atol=1e-3)
    # A stream gives a token's frames as soon as its look-ahead has come.
    assert len(net.stream(SpeakingConfig()).push(codes[: 1 + look_ahead])) == net.clock.num_frames(1)


def test_padding_changes_nothing() -> None:
    net = toy_net().double()
    codes = torch.zeros(2, 20, dtype=torch.long)
    codes[0, :9], codes[1] = torch.randint(CODES, (9,)), torch.randint(CODES, (20,))
    with torch.no_grad():
        both = net.prior(codes, torch.tensor([9, 20]), net.voices(torch.tensor([1, 2])))
        alone = net.prior(codes[:1, :9], torch.tensor([9]), net.voices(torch.tensor([1])))
    real = net.clock.num_frames(9)
    torch.testing.assert_close(both.mu_BTM[0, :real], alone.mu_BTM[0], rtol=0, atol=1e-12)
    # A code of 0 is no padding.
    longer = net.prior(codes[:1, :12], torch.tensor([12]), net.voices(torch.tensor([1])))
    assert not torch.allclose(longer.mu_BTM[0, real - 7 : real], alone.mu_BTM[0, real - 7 :], atol=1e-3)


def test_the_state_does_not_grow() -> None:
    net = toy_net()
    stream = net.stream(SpeakingConfig(steps=3))
    sizes = []
    for _ in range(50):
        stream.push(torch.randint(CODES, (40,)))
        sizes.append(stream.held_bytes)
    assert len(set(sizes)) == 1 and sizes[0] < 200_000


@pytest.mark.parametrize("rate", [6.25, 12.5, 25.0, 50.0])
def test_frames_are_those_of_a_prefix_and_read_their_own_time(rate: float) -> None:
    clock = FrameClock(token_rate=rate, sample_rate=22050, hop=256)
    for num_tokens in (1, 2, 7, 100, 100_000):
        assert abs(clock.num_frames(num_tokens) * 256 / 22050 - num_tokens / rate) <= 0.5 * 256 / 22050 + 1e-9
    # Subframes that hold their own time are read back as the centres of the frames, wherever the tokens are cut.
    for first, last in ((0, 50), (7, 8), (13, 40)):
        ends = (torch.arange(first * SUBFRAMES - 1, last * SUBFRAMES) + 1).double() / (rate * SUBFRAMES)
        read = clock.read(ends.view(1, -1, 1), first_token=first, last_token=last)[0, :, 0]
        centres = (torch.arange(clock.num_frames(first), clock.num_frames(last)) + 0.5).double() * 256 / 22050
        expected = centres.clamp(min=1 / (rate * SUBFRAMES))  # before the first subframe stands nothing
        torch.testing.assert_close(read, expected, rtol=0, atol=1e-9)


def test_noise_is_a_function_of_place() -> None:
    whole = normals(3, 0, 4000, 80)
    assert np.array_equal(whole[1234:1300], normals(3, 1234, 66, 80))
    assert abs(whole.mean()) < 0.01 and abs(whole.std() - 1) < 0.01
    assert abs(np.corrcoef(whole.ravel()[:-1], whole.ravel()[1:])[0, 1]) < 0.01
    assert abs((np.abs(whole) > 1.96).mean() - 0.05) < 0.005
    assert not np.array_equal(whole[:10], normals(4, 0, 10, 80))


def test_settings_of_the_flow_have_their_effect() -> None:
    net, codes = toy_net(), torch.arange(10)
    plain = SpeakingConfig(steps=2, voice="ada")
    made = net.decode(codes, plain)
    assert torch.equal(made, net.decode(codes, plain))
    for change in (
        SpeakingConfig(steps=3, voice="ada"),
        SpeakingConfig(steps=2, voice="bo"),
        SpeakingConfig(steps=2),
        SpeakingConfig(steps=2, voice="ada", seed=1),
        SpeakingConfig(steps=2, voice="ada", temperature=0.5),
        SpeakingConfig(steps=2, voice="ada", schedule="cosine"),
        SpeakingConfig(steps=2, voice="ada", token_guidance=1.0),
        SpeakingConfig(steps=2, voice="ada", voice_guidance=1.0),
    ):
        assert not torch.allclose(made, net.decode(codes, change), atol=1e-3), change


@pytest.mark.parametrize(
    ("speaking", "message"),
    [
        (SpeakingConfig(voice="cy"), r"^voice=cy was not trained; use one of ada, bo, or null$"),
        (SpeakingConfig(steps=1), r"^steps=1: this speech decoder has a prior and no flow; use 0$"),
    ],
)
def test_what_was_not_trained_is_refused(speaking: SpeakingConfig, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        toy_net(flow=None, steps=0).stream(speaking)


def test_an_unknown_code_leaves_the_stream_as_it_was() -> None:
    net = toy_net()
    stream = net.stream(SpeakingConfig())
    first = stream.push(torch.arange(8))
    with pytest.raises(ValueError, match=r"codes 3 \.\. 64 must lie in 0 \.\. 63"):
        stream.push(torch.tensor([3, 64]))
    made = torch.cat([first, stream.push(torch.arange(8, 16)), stream.finish()])
    torch.testing.assert_close(made, net.decode(torch.arange(16), SpeakingConfig()), rtol=0, atol=1e-5)


def test_an_empty_utterance_is_refused_and_an_empty_stream_is_silent() -> None:
    net = toy_net()
    with pytest.raises(ValueError, match="no codes"):
        net.decode(torch.zeros(0, dtype=torch.long), SpeakingConfig())
    stream = net.stream(SpeakingConfig())
    assert stream.push(torch.zeros(0, dtype=torch.long)).shape == (0, 80) and stream.finish().shape == (0, 80)


def test_a_folder_gives_back_the_same_network(tmp_path) -> None:
    net = toy_net()
    net.save(tmp_path)
    loaded = CausalMel.load(tmp_path)
    assert loaded.shape == SHAPE
    codes = torch.arange(10)
    assert torch.equal(loaded.decode(codes, GUIDED), net.decode(codes, GUIDED))
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"model\.safetensors: no weights of the network in config\.json"):
        CausalMel.load(tmp_path)


def test_the_prior_learns_which_code_stands_where() -> None:
    """Every code has a spectrum of its own: in the middle of a token its frames are nearest to that of its code."""
    torch.manual_seed(0)
    spectra = torch.randn(8, 80)
    net = toy_net(prior=PriorConfig(token_channels=32, token_layers=1, frame_channels=32, frame_layers=1, dropout=0.0))
    optimizer = torch.optim.Adam(net.prior.parameters(), lr=1e-2)
    lengths, voices = torch.full((8,), 12), torch.zeros(8, 64)
    starts = [net.clock.num_frames(token) for token in range(13)]
    token_of = torch.repeat_interleave(torch.arange(12), torch.tensor(starts).diff())
    for _ in range(100):
        codes = torch.randint(8, (8, 12))
        loss = (net.prior(codes, lengths, voices).mu_BTM - spectra[codes[:, token_of]]).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    codes = torch.randint(8, (8, 12))
    middles = [start + 3 for start in starts[:-1]]
    heard = torch.cdist(net.prior(codes, lengths, voices).mu_BTM[:, middles], spectra.expand(8, -1, -1)).argmin(dim=-1)
    assert (heard == codes).float().mean() > 0.95
