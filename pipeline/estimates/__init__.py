"""What runs will need, from shapes alone: memory, floating-point operations, disk."""
