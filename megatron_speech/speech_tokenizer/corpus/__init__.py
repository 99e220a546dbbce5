"""Audio corpora to shards of speech tokens."""
