"""How much of each step of the miniature fits a budget.

The three columns were chosen from measured runs on two cores. Between them amounts follow a straight line; outside
them the end column's amounts are scaled, except above it where the packaged texts hold no more. The budget is an
amount of work, not a clock: the same budget gives the same result on any machine, only sooner or later.
"""

BUDGETS = (8, 20, 90)
AMOUNTS = {
    #                        8      20     90   minutes
    "hibari_utterances": (200, 1200, 8000),  # sentences and clause-like spans read by the neural voice
    "flite_utterances": (20, 60, 250),  # by each of four formant and diphone voices
    "heldout_utterances": (16, 32, 96),
    "cloze_items": (4, 16, 77),
    "questions": (8, 24, 177),  # countries asked about
    "heldout_documents": (4, 16, 32),  # of each kind, for the loss by modality
    "tokenizer_steps": (60, 200, 1200),
    "text_to_token_steps": (60, 360, 3000),
    "round_trip_texts": (12, 32, 64),
    "interleaved_documents": (40, 250, 1000),
    "geography_documents": (300, 1860, 1860),
    "geography_renderings": (1, 2, 4),  # each with fresh spans
    "pretrain_steps": (8, 32, 192),
    "decoder_steps": (40, 240, 1500),
}
# The packaged texts hold no more than the 90-minute amount of these.
EXHAUSTED = {"hibari_utterances", "flite_utterances", "cloze_items", "questions", "geography_documents"}
LEAST = {"pretrain_steps": 2}  # in two halves; 1 of everything else


def amount(name: str, minutes: float) -> int:
    """Piecewise linear through `BUDGETS`; never below `LEAST`, nor above what there is."""
    columns = AMOUNTS[name]
    if minutes <= BUDGETS[0]:
        return max(LEAST.get(name, 1), round(columns[0] * minutes / BUDGETS[0]))
    if minutes >= BUDGETS[-1]:
        if name in EXHAUSTED:
            return columns[-1]
        return round(columns[-1] * minutes / BUDGETS[-1])
    upper = next(index for index, budget in enumerate(BUDGETS) if minutes <= budget)
    low, high = BUDGETS[upper - 1], BUDGETS[upper]
    share = (minutes - low) / (high - low)
    return round(columns[upper - 1] + share * (columns[upper] - columns[upper - 1]))
