"""From records, or tables of points, to frontiers. No torch."""
