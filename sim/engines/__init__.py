"""Engines: one interface, several machines behind it."""

from rtl.check.room import Room
from sim.errors import MissingToolError

__all__ = ["ENGINES", "make_engine"]

#: What ``--engine`` takes.
ENGINES = ("pysim", "compiled", "verilator")


def make_engine(name, config, *, room=Room(), tell=lambda line: None):
    """The Engine of this name for a machine. Raises MissingToolError if it cannot be had here.

    name : of ENGINES; or None: the compiled engine, or PySim if there is no C compiler, and ``tell`` is told why.
    room : of its Monitor.
    """
    if name == "verilator":
        from .verilator import VerilatorEngine
        return VerilatorEngine(config, room=room)
    if name != "pysim":
        from .compiled import CompiledEngine
        try:
            return CompiledEngine(config, room=room)
        except MissingToolError as error:
            if name is not None:
                raise
            tell(f"running on PySim, which is slow: {error}")
    from .pysim import PySimEngine
    return PySimEngine(config, room=room)
