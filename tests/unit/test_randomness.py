"""Random numbers never change: orders, spans, weights and samples that were drawn once are drawn again."""

import numpy as np

from megatron_speech.randomness import (
    blake2b_number,
    named_keys,
    pcg64,
    philox,
    sha256_fraction,
    sha256_hex,
    sha256_number,
    splitmix64,
    uniform_at,
    unit_interval,
    xxh3_number,
    xxh3_numbers,
)
from megatron_speech.text_to_token.synthesize import request_seed, speaker_of


def test_splitmix64_is_that_of_its_reference() -> None:
    values = np.array([0, 1, 2, 1 << 63, (1 << 64) - 1], np.uint64)
    assert splitmix64(values).tolist() == [
        0xE220A8397B1DCDAF,
        0x910A2DEC89025CC1,
        0x975835DE1C9756CE,
        0x481EC0A212A9F3DB,
        0xE4D971771B652C20,
    ]


def test_keys_of_numbers_by_name() -> None:
    numbers = np.array([0, 1, 1000])
    assert named_keys(0, "text", numbers).tolist() == [0xBF45483671CE161C, 0x28A2847A6FF21012, 0x65FD93A46A781D5C]
    assert named_keys(7, "rows of über", numbers).tolist() == [
        0x992EE556A0C4C774,
        0x2FECFF76C5897077,
        0x3684E4620A731716,
    ]
    assert named_keys(-1, "", numbers).tolist() == [0x1A6280CA1C2998DA, 0x67450D2E125012F7, 0xC44F6B7842D0C3F4]


def test_uniform_numbers_of_sampling() -> None:
    seeds, steps = np.array([0, 0, 12, (1 << 64) - 1, 5], np.uint64), np.array([0, 1, 7, 3, 1 << 40])
    assert uniform_at(seeds, steps).tolist() == [
        0.6524484863740322,
        0.1663964394676608,
        0.46155431251364776,
        0.011382352467864343,
        0.6362035319787418,
    ]
    assert unit_interval(np.array([0, (1 << 64) - 1], np.uint64)).tolist() == [0.0, 1 - 2.0**-53]


def test_numbers_of_texts() -> None:
    assert [xxh3_number("0\0noise\0a:1"), xxh3_number("7\0noise\0über:2")] == [
        13458757538971080007,
        17577859770558488640,
    ]
    assert [xxh3_number("0 a"), xxh3_number("7 über")] == [11438639420858555416, 16195461507821361596]
    texts = ["a", "b", "über", ""]
    assert xxh3_numbers(texts, seed=0).tolist() == [
        16629034431890738719,
        6294355645245719615,
        10147013090148974503,
        3244421341483603138,
    ]
    assert xxh3_numbers(texts, seed=7).tolist() == [
        11445204161929584788,
        8586405461425397715,
        14331125767191143623,
        10464923555624353464,
    ]
    assert sha256_hex("order:France:Paris")[:16] == "c6fe50b6bd0ec937" and sha256_hex("x")[:16] == "2d711642b726b044"
    assert [sha256_fraction("speed:a"), sha256_fraction("")] == [0.16358524547758035, 0.8894159948913372]
    assert [sha256_fraction(f"split:{title}") for title in ("Paris", "Zürich")] == [
        0.22478409979773373,
        0.4549861759428837,
    ]


def test_seeds_of_requests_and_voices_of_documents() -> None:
    assert blake2b_number("5\0bad\x001") == request_seed(5, "bad", 1) == 3792867449870943048
    assert [request_seed(0, "a", 0), request_seed(7, "wiki:3:über", 2)] == [16612899241173730411, 1043833080102650814]
    assert [speaker_of(["x", "y", "z"], 3, key) for key in ("a:1", "b:1", "c:2", "d")] == ["y", "x", "y", "y"]


def test_seeds_of_weights() -> None:
    seeds = [7514245256698027457, 2968817355550428275]
    names = [(0, "decoder.layers.0.weight"), (1234, "über")]
    assert [sha256_number(f"{seed}:{name}", num_bytes=8) >> 1 for seed, name in names] == seeds


def test_draws_of_spans() -> None:
    def bits(text: str) -> np.ndarray:
        return np.random.Philox(key=sha256_number(text, num_bytes=16)).random_raw(3)

    assert bits("0\0a").tolist() == [17853789778802170663, 13806083678661059819, 13764276901957354927]
    assert unit_interval(bits("7\0doc\0snap")).tolist() == [
        0.38851580173977796,
        0.7737496821157318,
        0.40500992368026034,
    ]


def test_generators_of_noise_resampling_and_augmentation() -> None:
    assert philox(0, 0).random(2).tolist() == [0.011546754286331562, 0.24154919656271812]
    assert philox(7, 3).random(2).tolist() == [0.4821286018761155, 0.7241355726248441]
    assert [philox(seed).integers(1000, size=4).tolist() for seed in (0, 7)] == [
        [34, 11, 611, 241],
        [163, 872, 972, 295],
    ]
    assert pcg64(0, 1, 2).random(2).tolist() == [0.8817035384837327, 0.28917661385918403]
    assert pcg64(3, 4, 5).random(2).tolist() == [0.970982789173582, 0.8951410203483453]
