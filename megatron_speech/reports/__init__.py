"""Markdown and figures, from what manifests say."""
