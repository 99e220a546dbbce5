"""Storage of shards: memory-mapped files, files read by offset, URLs, and a cache of blocks on a local disk.

>>> import fsspec
>>> from megatron_speech.storage import ranged, retry
>>> fsspec.filesystem("memory").pipe_file("/shard.tar", b"0123456789")
>>> ranged.Ranged("memory", retry.Retry(attempts=3), timeout_s=10).read("memory://shard.tar", start=2, size=3)
b'234'
"""
