"""Distributed checkpoints in any layout, and exchange with Hugging Face folders by one name table."""
