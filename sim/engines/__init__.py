"""Engines: one interface, several machines behind it."""

__all__ = ["ENGINES"]

#: What ``--engine`` takes.
ENGINES = ("pysim", "compiled", "verilator")
