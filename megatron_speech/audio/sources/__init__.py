"""Recordings as people keep them: tables, folders and tars of the usual layouts, each read to listed utterances."""
