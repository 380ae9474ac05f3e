"""The engines: several machines behind one interface."""

from sim.errors import InputError
from sim.spelling import closest

__all__ = ["ENGINES", "check_engine"]

#: The values of ``--engine``.
ENGINES = ("pysim", "compiled", "verilator")


def check_engine(name, engines=ENGINES):
    """Raise InputError if there is no engine of this name. None means the best one."""
    if name is not None and name not in engines:
        raise InputError(f'there is no engine "{name}"{closest(name, engines)} (there are: {", ".join(engines)})')
