"""What the doctor looks at: facts as Slurm and this machine state them, and checks from facts to findings."""
