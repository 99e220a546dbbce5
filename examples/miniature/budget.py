"""How much of each step of the miniature fits a budget: prints shell assignments for run.sh.

The three columns were chosen from measured runs on two cores; between them amounts follow a straight line, outside them
the end column's amounts are scaled. The budget is an amount of work, not a clock: the same budget gives the same
result on any machine, only sooner or later.
"""

import sys

BUDGETS = (8, 20, 90)
AMOUNTS = {
    #                        8      20     90   minutes
    "hibari_utterances": (260, 1400, 6000),  # sentences and clause-like spans read by the neural voice
    "flite_utterances": (20, 80, 250),  # by each of four formant and diphone voices
    "heldout_utterances": (24, 48, 96),
    "cloze_items": (16, 48, 120),
    "questions": (24, 96, 182),  # countries asked about
    "tokenizer_steps": (60, 300, 1600),
    "text_to_token_steps": (60, 400, 2400),
    "round_trip_texts": (16, 32, 64),
    "interleaved_documents": (60, 300, 1200),
    "geography_renderings": (1, 3, 10),  # each with fresh spans
    "pretrain_steps": (8, 40, 300),
    "decoder_steps": (40, 400, 2000),
}


def amount(columns: tuple[int, ...], minutes: float) -> int:
    """Piecewise linear through `BUDGETS`; never below 1."""
    if minutes <= BUDGETS[0]:
        return max(1, round(columns[0] * minutes / BUDGETS[0]))
    if minutes >= BUDGETS[-1]:
        return round(columns[-1] * minutes / BUDGETS[-1])
    upper = next(index for index, budget in enumerate(BUDGETS) if minutes <= budget)
    low, high = BUDGETS[upper - 1], BUDGETS[upper]
    share = (minutes - low) / (high - low)
    return round(columns[upper - 1] + share * (columns[upper] - columns[upper - 1]))


if __name__ == "__main__":
    try:
        budget = float(sys.argv[1])
        if budget <= 0:
            raise ValueError
    except (IndexError, ValueError):
        sys.exit(
            f"error: --budget-minutes={' '.join(sys.argv[1:])} must be a number above 0; 8, 20 and 90 were measured"
        )
    for name, columns in AMOUNTS.items():
        print(f"{name}={amount(columns, budget)}")
