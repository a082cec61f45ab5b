"""Training of one SAE: optimizer and constraint, schedules, resampling, checkpoints, and the loop over a block."""
