"""Who trains what, where and when: packs, tasks, and the processes or Slurm jobs that train them."""
