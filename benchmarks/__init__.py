"""What this project claims about speed, runnable, against its peers: `make bench`."""
