"""The examples as lists of steps, and the runner of `megatron-speech run`.

>>> from megatron_speech.examples.runner.work import Step
>>> print(Step("text", "tokenize_text", "own_data/tokenize_text", {"name": "mine"}))
megatron-speech tokenize_text --config own_data/tokenize_text --name mine
"""
