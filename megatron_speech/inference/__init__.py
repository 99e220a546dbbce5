"""Running an exported model: likelihood of given tokens, and generation of new ones."""
