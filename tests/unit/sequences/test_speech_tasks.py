"""Task layouts: what is given, what is to be learnt, and what is refused."""

import numpy as np
import pytest

from megatron_speech.sequences.speech_tasks import (
    recognition_document,
    recognition_prompt,
    synthesis_document,
    synthesis_prompt,
)
from megatron_speech.vocabulary import Vocabulary

VOCABULARY = Vocabulary(num_text_ids=10, num_speech_ids=4, end_of_document=9)
BEGIN, END, RECOGNIZE, SYNTHESIZE = 10, 11, 12, 13  # specials follow the text ids, codes follow the specials


def test_recognition_goes_from_speech_to_text():
    document = recognition_document("a", text_ids=[1, 2], codes=np.array([0, 3]), vocabulary=VOCABULARY, meta={"id": 1})
    assert document.tokens.tolist() == [RECOGNIZE, BEGIN, 14, 17, END, 1, 2]
    assert document.target_start == 5 == len(recognition_prompt(np.array([0, 3]), vocabulary=VOCABULARY))
    assert document.tokens.dtype == np.int32 and document.meta == {"id": 1}


def test_synthesis_goes_from_text_to_speech():
    document = synthesis_document("a", text_ids=[1, 2], codes=np.array([0, 3]), vocabulary=VOCABULARY)
    assert document.tokens.tolist() == [SYNTHESIZE, 1, 2, BEGIN, 14, 17, END]
    assert document.tokens[: document.target_start].tolist() == synthesis_prompt([1, 2], vocabulary=VOCABULARY).tolist()


@pytest.mark.parametrize("layout", [recognition_document, synthesis_document])
@pytest.mark.parametrize(
    ("text_ids", "codes", "message"),
    [
        ([], [1], "no token"),
        ([1], [], "none given"),
        ([10], [1], "text id"),
        ([1], [4], "codebook"),
        ([1], [-1], "code"),
    ],
)
def test_what_cannot_be_laid_out_is_named(layout, text_ids, codes, message):
    with pytest.raises(ValueError, match=rf"utterance-7.*{message}"):
        layout("utterance-7", text_ids=text_ids, codes=np.array(codes, np.int32), vocabulary=VOCABULARY)
