"""A person at a terminal talks to an exported model: prompts in text or speech, answers in text or speech.

>>> from megatron_speech.chat.partner import Question
>>> Question(ids=[5, 6], given="speech").text_ids  # what the text of an answer follows
()
"""
