"""A way to read the arena from outside of the machine, while it does not run."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..memory.port import MemoryOp
from ..share import Bundle, share
from ..tile import Tile

__all__ = ["TapPort", "TappedTile"]


class TapPort(Bundle):
    """Reads one word of the arena, seen from the reader: ``valid`` and ``address`` are held until ``done``, which is high for one
    clock, and ``word`` is valid in it. Only while the machine stands at its start: after a reset, with ``run`` low."""

    def __init__(self, config):
        super().__init__({
            "valid": Out(1),
            "address": Out(config.address_bits),
            "done": In(1),
            "word": In(config.xlen),
        })


class TappedTile(wiring.Component):
    """A Tile that lends its memory port. With ``tap.valid`` low it is the same as a Tile.

    After a use the arena's arbiter has taken a turn: reset the machine before it runs.

    Parameters
    ----------
    config : MachineConfig

    Attributes
    ----------
    microcode : see Tile.

    Members
    -------
    tap : TapPort.
    The other members are those of Tile.
    """

    def __init__(self, config):
        self._tile = Tile(config)
        self.microcode = self._tile.microcode
        super().__init__({**dict(self._tile.signature.members.items()), "tap": In(TapPort(config))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.tile = tile = self._tile
        share(tile, **{name: getattr(self, name) for name in tile.signature.members if name != "memory"})
        own, shared, tap = tile.memory, self.memory, self.tap
        m.d.comb += [
            shared.valid.eq(own.valid | tap.valid),
            shared.request.eq(own.request),
            own.done.eq(shared.done & ~tap.valid),
            own.old.eq(shared.old),
            tap.done.eq(shared.done),
            tap.word.eq(shared.old),
        ]
        with m.If(tap.valid):
            m.d.comb += [shared.request.op.eq(MemoryOp.READ), shared.request.address.eq(tap.address)]
        return m
