"""Engines: one interface, several machines behind it."""

from sim.errors import InputError
from sim.spelling import closest

__all__ = ["ENGINES", "check_engine"]

#: What ``--engine`` takes.
ENGINES = ("pysim", "compiled", "verilator")


def check_engine(name, engines=ENGINES):
    """Raise InputError if there is no engine of this name. None: whichever is best."""
    if name is not None and name not in engines:
        raise InputError(f'there is no engine "{name}"{closest(name, engines)} (there are: {", ".join(engines)})')
