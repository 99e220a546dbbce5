"""Training of the speech tokenizer: sources, order, steps on one rank or many, checkpoints, word error rates."""
