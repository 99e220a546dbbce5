"""Overall scores of published tables, computed from their cells."""

from pathlib import Path

import pytest

from megatron_speech.metrics.aggregates import (
    OPEN_AUDIO_BENCH_ITEMS,
    mean_of_sets,
    mean_of_utterance_rates,
    mean_with_quality,
    mean_with_ratings,
)

BOARD = [line.split("\t") for line in (Path(__file__).parent / "voice_bench.tsv").read_text().splitlines()]


@pytest.mark.parametrize(
    ("scores", "mean"),
    [
        ((6.5, 21.6, 14.8), 14.30),  # SpeechGPT, speech to text: Web Questions, Llama Questions, TriviaQA
        ((26.6, 62.3, 22.8), 37.23),  # Moshi, speech to text
        ((9.2, 21.0, 7.3), 12.50),  # Moshi, speech to speech
        ((32.2, 64.7, 39.1), 45.33),  # GLM-4-Voice, speech to text
        ((15.9, 50.7, 26.5), 31.03),  # GLM-4-Voice, speech to speech
    ],
)
def test_means_of_three_sets(scores, mean):
    assert mean_of_sets(scores) == mean


def test_the_board_of_voice_bench():
    header, *rows = BOARD
    assert header[1:4] == ["AlpacaEval", "CommonEval", "WildVoice"] and len(rows) == 33
    off = []
    for model, *cells in rows:
        *scores, overall = map(float, cells)
        off += [model] if abs(mean_with_ratings(scores[:3], scores[3:]) - overall) > 0.01 + 1e-9 else []
    assert off == []


def test_the_row_of_ultraeval_audio():
    assert mean_with_quality([32.00, 36.40, 51.00, 52.61, 71.06], [4.21, 3.46, 4.07]) == 53.56


def test_the_items_of_open_audio_bench():
    assert sum(OPEN_AUDIO_BENCH_ITEMS.values()) == 2701


def test_short_utterances_count_as_much_as_long_ones():
    assert mean_of_utterance_rates([1, 0], [1, 9]) == 0.5
