"""Bytes of shards, wherever they lie: mapped files, files read by offset, URLs; a cache of blocks on a local disk."""
