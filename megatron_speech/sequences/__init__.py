"""Layouts of token ids for training and prompts; training and generation share them.

>>> from megatron_speech.sequences.speech_tasks import recognition_prompt
>>> from megatron_speech.vocabulary import Vocabulary
>>> vocabulary = Vocabulary(num_text_ids=100, num_speech_ids=8)
>>> recognition_prompt([0, 7], vocabulary=vocabulary).tolist()
[102, 100, 104, 111, 101]
"""
