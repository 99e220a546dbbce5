"""Text to ids and back: the base model's tokenizer, and the vocabulary folder that extends it."""
