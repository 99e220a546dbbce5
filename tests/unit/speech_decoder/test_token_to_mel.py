"""Tokens to mel: frames follow time, and neither padding nor drift changes them."""

import pytest
import torch

from megatron_speech.config.stages.speech_decoder import TokenToMelConfig
from megatron_speech.speech_decoder.folder import DecoderIdentity
from megatron_speech.speech_decoder.mel import MelSettings
from megatron_speech.speech_decoder.token_to_mel import SUBFRAMES, TokenToMel

IDENTITY = DecoderIdentity(codebook_size=32, frame_rate=12.5, speech_fingerprint="abc")
SMALL = TokenToMelConfig(token_channels=16, token_layers=2, frame_channels=8, frame_layers=2)


@pytest.fixture
def net() -> TokenToMel:
    torch.manual_seed(0)
    return TokenToMel(SMALL, IDENTITY, MelSettings()).eval()


def test_frames_follow_time_and_never_drift(net):
    for num_tokens in (1, 2, 7, 100, 10_000):
        assert abs(net.num_frames(num_tokens) / MelSettings().frame_rate - num_tokens / 12.5) <= 0.5 / 86


def test_a_frame_reads_the_subframes_at_its_own_time(net):
    """Emit the time itself: every frame between the first and last subframe must read back its own centre."""
    num_tokens = 50
    time_s = (torch.arange(num_tokens * SUBFRAMES) + 0.5) / (12.5 * SUBFRAMES)
    frames = net.read_at_frames(time_s.view(1, num_tokens, SUBFRAMES), net.num_frames(num_tokens))[0, :, 0]
    centre_s = (torch.arange(len(frames)) + 0.5) * 256 / 22050
    inside = (centre_s >= time_s[0]) & (centre_s <= time_s[-1])
    assert inside.sum() > len(frames) - 4
    torch.testing.assert_close(frames[inside], centre_s[inside], rtol=0, atol=1e-5)


def test_padding_changes_nothing(net):
    codes = torch.randint(32, (9,))
    padded = torch.zeros(2, 20, dtype=torch.long)
    padded[0, :9], padded[1] = codes, torch.randint(32, (20,))
    alone = net.decode(codes)
    with torch.inference_mode():
        together = net(padded, torch.tensor([9, 20]))[0]
    # The last subframe of the row reads its padded neighbour at most half a frame away.
    torch.testing.assert_close(together[: len(alone) - 1], alone[:-1], rtol=1e-4, atol=1e-4)


def test_a_folder_gives_back_the_same_network(net, tmp_path):
    net.mel_mean.fill_(-3.0)
    net.save(tmp_path)
    loaded = TokenToMel.load(tmp_path)
    codes = torch.arange(10)
    assert (loaded.identity, loaded.config) == (IDENTITY, SMALL)
    torch.testing.assert_close(loaded.decode(codes), net.decode(codes), rtol=0, atol=0)


@pytest.mark.parametrize("codes", [[], [32], [-1, 3]])
def test_codes_outside_the_codebook_are_refused(net, codes):
    with pytest.raises(ValueError, match="codes"):
        net.decode(torch.tensor(codes, dtype=torch.long))


def test_a_folder_without_weights_names_the_tool(tmp_path):
    with pytest.raises(FileNotFoundError, match="train_speech_decoder first"):
        TokenToMel.load(tmp_path)


def test_an_even_kernel_is_refused_with_its_remedy():
    with pytest.raises(ValueError, match=r"kernel_size=4 must be odd.*use 5"):
        TokenToMelConfig(kernel_size=4)
