"""Training of one SAE: the loop over a block's steps, optimizer, schedules, resampling and checkpoints."""
