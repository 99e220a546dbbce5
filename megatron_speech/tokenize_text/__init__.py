"""Text corpora to token shards, and the training of a SentencePiece tokenizer."""
