"""Text corpora as people have them: files, records, and how they are cut into tasks."""
