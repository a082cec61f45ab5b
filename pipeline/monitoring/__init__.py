"""How far runs are: progress files, tables, trackers."""
