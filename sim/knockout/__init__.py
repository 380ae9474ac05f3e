"""Which barriers and locks of a protocol matter."""
