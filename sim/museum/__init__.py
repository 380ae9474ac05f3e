"""Defects that the protocol has had, and the generations that show them."""
