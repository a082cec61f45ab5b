"""The process and the machine: device, signals, streams, durations."""
