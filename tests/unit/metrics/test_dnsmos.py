"""The judge of speech quality hears whole windows, and a missing network is named."""

from pathlib import Path

import numpy as np
import pytest

from megatron_speech.metrics.dnsmos import SAMPLE_RATE, Dnsmos, windows_of

NETWORK = Path(__file__).resolve().parents[3] / ".cache/assets/dnsmos/sig_bak_ovr.onnx"


@pytest.mark.parametrize(("seconds", "windows"), [(1, 1), (9.01, 1), (10.1, 2), (12.5, 4)])
def test_the_network_sees_whole_windows_one_second_apart(seconds, windows):
    cut = windows_of(np.zeros(int(seconds * SAMPLE_RATE), np.float32))
    assert len(cut) == windows or seconds < 9.01
    assert {len(window) for window in cut} == {int(9.01 * SAMPLE_RATE)}


def test_a_short_clip_is_repeated():
    clip = np.arange(16000, dtype=np.float32) / 16000
    window = windows_of(clip)[0]
    np.testing.assert_array_equal(window[16000:32000], clip)


def test_a_missing_network_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="speechmos"):
        Dnsmos(tmp_path / "sig_bak_ovr.onnx")


@pytest.mark.assets
@pytest.mark.skipif(
    not NETWORK.is_file(), reason="the package speechmos is not unpacked; run examples/miniature/run.sh"
)
def test_white_noise_scores_as_published():
    noise = 0.3 * np.random.default_rng(0).standard_normal(10 * SAMPLE_RATE).astype(np.float32)
    assert Dnsmos(NETWORK).score(noise).overall == pytest.approx(1.06, abs=0.1)
