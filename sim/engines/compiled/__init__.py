"""The compiled engine: C generated from the netlists of the same Tile and shared part that PySim simulates."""

from rtl.check.room import Room
from sim.engines.native import NativeEngine

from .program import LOAD_TIED, boxed_rig, program
from .toolchain import compiler, load, uncollected, vector_bits
from .translation import translated
from .vector import BITS

__all__ = ["CompiledEngine", "trace_sources"]

#: Bits of a vector -> the number of cores from which side by side is faster.
_SIDE_BY_SIDE = {512: 4, 256: 8, 128: 8}
#: With -O2 gcc takes three times as long, and the machine is no faster. With many cores most of the text is the part that exists
#: once; then -O1 takes three times as long as -Og, and again the machine is no faster.
_MANY = 24


class CompiledEngine(NativeEngine):
    """A Rig compiled to C. Built once for a config (or taken from the cache); runs any contents.

    Raises MissingToolError without a C compiler, before anything is elaborated.

    Parameters
    ----------
    config : MachineConfig.  room : of the Monitor.
    lanes : of the vectors in which the cores are side by side; 0: one core after the other; None: whichever is faster.
    """

    name = "compiled"

    def __init__(self, config, *, room=Room(), lanes=None):
        compiler()
        if lanes is None:
            lanes = vector_bits() // BITS if config.n_cores >= _SIDE_BY_SIDE[vector_bits()] else 0
        (text, inputs), generated = translated((self.name, config, room, lanes), lambda: _translate(config, room, lanes))
        library = load(text, options=("-O1" if config.n_cores < _MANY else "-Og",))
        super().__init__(config, library, inputs, build_seconds=generated + library.build_seconds)


def _translate(config, room, lanes):
    with uncollected():
        rig, units = boxed_rig(config, room)
        return program(units, rig, trace_sources(rig.trace.shape()), tied=LOAD_TIED, lanes=lanes)


def trace_sources(layout):
    """(offset, width) of every record in the raw trace, in the order of the sources."""
    result = []
    for name in ("core", "apic", "message", "bank"):
        item = layout[name]
        width = item.shape.elem_shape.size
        result += [(item.offset + number * width, width) for number in range(item.shape.length)]
    return result
