"""Boards: bitstreams, and the host's side of the wire."""
