"""What a run is: its settings, typed, with the values that they accept."""
