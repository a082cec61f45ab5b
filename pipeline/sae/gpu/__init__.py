"""The sparse step on a GPU. Imported where one is used: Triton comes with builds of PyTorch for GPUs only."""
