"""Training: loop, step, optimizer, schedule, state, metrics, signals."""
