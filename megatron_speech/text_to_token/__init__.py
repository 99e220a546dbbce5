"""Text-to-token models: language models that write speech tokens for a text (arXiv 2411.17607, section 2.2).

>>> from megatron_speech.text_to_token.prompts import codes_of, stop_id
>>> from megatron_speech.vocabulary import Vocabulary
>>> vocabulary = Vocabulary(num_text_ids=100, num_speech_ids=8)
>>> codes_of([104, 111], vocabulary=vocabulary).tolist(), stop_id(vocabulary)
([0, 7], 101)
"""
