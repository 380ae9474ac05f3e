"""Shipped scenarios and the reader that turns one into commands for each core."""
