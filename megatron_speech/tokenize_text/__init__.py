"""Tokenization of text corpora into document shards, and training of a SentencePiece tokenizer.

>>> from datatrove.data import Document
>>> from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
>>> from megatron_speech.tokenize_text.steps import encode_ahead
>>> documents = [Document(id="greeting", text="Hi!")]
>>> [(document.id, ids.tolist()) for document, ids in encode_ahead(documents, TextTokenizer.load("bytes"))]
[('greeting', [72, 105, 33])]
"""
