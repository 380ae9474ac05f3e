"""Oracles: what must hold of every run, one small class per property."""
