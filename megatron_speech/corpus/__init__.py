"""Text corpora: finds their files, reads documents from JSON lines, Parquet and WET, and groups files into tasks.

>>> from megatron_speech.corpus.files import relative_name
>>> from megatron_speech.corpus.remote_file import RemoteFile
>>> file = RemoteFile("s3://texts/en/books.jsonl.zst", size=1000, identity="")
>>> relative_name(file, "s3://texts/en"), file.suffix
('books.jsonl.zst', '.zst')
"""
