"""Token documents to batches: shards, packing, the plan of a run, and the reader that follows it."""
