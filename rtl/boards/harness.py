"""A Tile alone on an FPGA, to measure it: a pin in, a pin out, and flip-flops around it."""

from functools import reduce
from operator import xor

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..share import share
from ..tile import Tile

__all__ = ["TileHarness", "UnseenTile"]

#: Inputs of a LUT.
_FOLD = 4
#: The ports of a Tile that only observe.
_OBSERVE = ("core_record", "apic_record", "probe")


class UnseenTile(wiring.Component):
    """A Tile with unused records and probe, as on a board without room for them. It has the other ports of a Tile."""

    def __init__(self, config):
        self._tile = Tile(config)
        super().__init__({name: member for name, member in self._tile.signature.members.items() if name not in _OBSERVE})

    def elaborate(self, platform):
        m = Module()
        m.submodules.tile = self._tile
        share(self._tile, **{name: getattr(self, name) for name in self.signature.members})
        return m


class TileHarness(wiring.Component):
    """Every input of an UnseenTile comes from a flip-flop, and every output goes into one, so that no path through a pin is
    measured; and nothing can be optimised away, because each output is folded into ``output``.

    Parameters
    ----------
    config : MachineConfig

    Members
    -------
    input : shifted through the flip-flops before the Tile's inputs.
    output : the parity of the Tile's outputs, some clocks later.
    """

    def __init__(self, config):
        self._tile = UnseenTile(config)
        super().__init__({"input": In(1), "output": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.tile = tile = self._tile
        inputs, outputs = [], []
        for _, member, value in tile.signature.flatten(tile):
            (inputs if member.flow is In else outputs).append(Value.cast(value))

        shift = Signal(sum(map(len, inputs)))
        m.d.sync += shift.eq(Cat(self.input, shift))
        m.d.comb += Cat(*inputs).eq(shift)

        stage = Cat(*outputs)
        while len(stage) > 1:
            register = Signal(len(stage), name=f"fold_{len(stage)}")
            m.d.sync += register.eq(stage)
            stage = Cat(*(reduce(xor, register[start:start + _FOLD]) for start in range(0, len(register), _FOLD)))
        m.d.sync += self.output.eq(stage)
        return m
