"""Amounts of work for each step of the miniature, by budget.

The three columns of `AMOUNTS` come from measured runs on two cores. Amounts are interpolated between them, and scaled
outside, up to the size of the packaged texts. The budget fixes the amount of work, not the time: a budget gives the
same result on any machine.
"""

BUDGETS = (8, 20, 90)
AMOUNTS = {
    #                        8      20     90   minutes
    "hibari_utterances": (200, 1200, 8000),  # sentences and spans spoken by the neural voice
    "flite_utterances": (20, 60, 250),  # by each of the four voices of flite
    "heldout_utterances": (16, 32, 96),
    "cloze_items": (4, 16, 77),
    "questions": (8, 24, 177),  # countries asked about
    "heldout_documents": (4, 16, 32),  # of each source, for the loss by modality
    "spoken_lines": (3, 8, 32),  # held-out utterances to recognise, and texts to say
    "tokenizer_steps": (60, 200, 1200),
    "text_to_token_steps": (60, 360, 3000),
    "round_trip_texts": (12, 32, 64),
    "interleaved_documents": (40, 250, 1000),
    "geography_documents": (300, 1860, 1860),
    "geography_renderings": (1, 2, 4),  # each with other spans
    "pretrain_steps": (8, 32, 192),
    "decoder_steps": (40, 240, 1500),
    "claim_utterances": (0, 0, 3000),  # facts spoken by the neural voice, for the last part: the paper's claim
    "claim_epochs": (0, 0, 24),
    "claim_steps": (0, 0, 2000),  # of each of two small models
}
CLAIM = ("claim_utterances", "claim_epochs", "claim_steps")
# Amounts that stop at 90 minutes: the packaged texts hold no more, and the last part shows what it shows by then.
EXHAUSTED = {"hibari_utterances", "flite_utterances", "cloze_items", "questions", "geography_documents", *CLAIM}
# Pre-training has two halves. The last part is left out of small budgets. The least amount of other steps is 1.
LEAST = {"pretrain_steps": 2} | dict.fromkeys(CLAIM, 0)


def amount(name: str, minutes: float) -> int:
    """Amount `name` for a budget of `minutes`: piecewise linear, at least `LEAST`, at most what the texts hold."""
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
