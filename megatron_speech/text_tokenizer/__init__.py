"""Text tokenizers of all kinds as one class, and the vocabulary folder that adds speech tokens to one.

>>> from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
>>> tokenizer = TextTokenizer.load("bytes")
>>> tokenizer.encode("Hi!"), tokenizer.decode([72, 105, 33])
([72, 105, 33], 'Hi!')
>>> tokenizer.end_of_document in tokenizer.encode("<|endoftext|>")  # special tokens never come from raw text
False
"""
