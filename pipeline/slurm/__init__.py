"""What Slurm says, as text."""
