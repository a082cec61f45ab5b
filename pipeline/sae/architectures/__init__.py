"""The architectures, one file each. The listing of this folder is the registry."""
