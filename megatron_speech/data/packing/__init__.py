"""Documents to rows of one length, in a shuffled order."""
