"""Which barriers and locks of a protocol carry weight."""
