"""What the doctor looks at: facts as Slurm and this machine state them, and tables of checks from facts to results."""
