"""A copy of what the arena of a board has been loaded with, from which it is restored."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory, MemoryData
from amaranth.lib.wiring import In, Out

from ..machine import LoadPort

__all__ = ["ArenaCopy"]


class ArenaCopy(wiring.Component):
    """Stands between what loads a machine and the machine. It passes on what is loaded, keeps the words of the arena, and loads
    them again if it is asked to, one per clock.

    Parameters
    ----------
    config : MachineConfig

    Attributes
    ----------
    data : MemoryData, the words.

    Members
    -------
    source : what is loaded; nothing while it restores.
    restore : for one clock: load all words again, from the next clock on.
    restored : for one clock: the last word is being loaded.
    load : to the machine.
    """

    def __init__(self, config):
        self._depth = config.arena_depth
        self.data = MemoryData(shape=config.xlen, depth=config.arena_depth, init=[])
        super().__init__({
            "source": In(LoadPort(config)),
            "restore": In(1),
            "restored": Out(1),
            "load": Out(LoadPort(config)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.copy = copy = Memory(self.data)
        write, read = copy.write_port(), copy.read_port()
        source, load = self.source, self.load
        reads, address = Signal(), Signal(range(self._depth))
        read_address, was_read = Signal.like(address), Signal()
        m.d.sync += [was_read.eq(reads), read_address.eq(address)]
        with m.If(self.restore):
            m.d.sync += [reads.eq(1), address.eq(0)]
        with m.Elif(reads):
            m.d.sync += [address.eq(address + 1), reads.eq(address != self._depth - 1)]
        m.d.comb += [
            write.en.eq(source.valid & ~source.microcode),
            write.addr.eq(source.address),
            write.data.eq(source.data),
            read.addr.eq(address),
            self.restored.eq(was_read & ~reads),
            load.valid.eq(source.valid | was_read),
            load.microcode.eq(source.microcode & ~was_read),
            load.address.eq(source.address),
            load.data.eq(source.data),
        ]
        with m.If(was_read):
            m.d.comb += [load.address.eq(read_address), load.data.eq(read.data)]
        return m
