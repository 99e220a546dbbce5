"""What a run needs, before it is queued: all arithmetic, no torch."""
