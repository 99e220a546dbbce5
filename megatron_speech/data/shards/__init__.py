"""Token shards on disk: written, read, checked and repaired."""
