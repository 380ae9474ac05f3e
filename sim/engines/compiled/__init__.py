"""The compiled engine: C generated from the netlists of the very same Tile and shared part that PySim simulates."""

import time

from rtl.machine import Machine
from rtl.tile import Tile
from sim.engines.native import NativeEngine

from .program import TileBox, program
from .toolchain import compiler, load

__all__ = ["CompiledEngine"]


class CompiledEngine(NativeEngine):
    """A machine compiled to C. Built once for a config (from the cache, if it was built before); runs any contents.

    Raises MissingToolError if there is no C compiler, before anything is elaborated.
    """

    name = "compiled"

    def __init__(self, config):
        started = time.monotonic()
        compiler()
        tile = Tile(config)
        machine = Machine(config, tile=lambda _: TileBox(tile.signature))
        ports = {"load__valid": 0, "load__microcode": 0, "load__address": 0, "load__data": 0}
        text, inputs = program(tile, machine, _sources(machine.trace.shape()), tied=ports)
        super().__init__(config, load(text), inputs)
        self.build_seconds = time.monotonic() - started


def _sources(layout):
    """(offset, width) of every record in the raw trace, in the order of the sources."""
    result = []
    for name in ("core", "apic", "message", "bank"):
        item = layout[name]
        width = item.shape.elem_shape.size
        result += [(item.offset + number * width, width) for number in range(item.shape.length)]
    return result
