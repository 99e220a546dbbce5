"""Real models, voices and texts that come in packages: pinned, hashed, read as files, turned into standard formats."""
