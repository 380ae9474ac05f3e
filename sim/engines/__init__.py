"""Engines: ways to run a Machine. All give the same records on the same clocks."""
