"""Training of one SAE: its optimizer and constraint, its schedules, resampling, checkpoints and the loop over a block."""
