"""What a run leaves on disk: its identity, its record, its status."""
