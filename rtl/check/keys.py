"""The Keys: who holds which spin lock."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .deed import Deed, deed_layout

__all__ = ["Keys"]


class Keys(wiring.Component):
    """The spin locks that are held. A lock that is taken although it is held belongs to who took it last.

    The outputs are functions of the inputs of this clock and of the keys, which follow at its end.

    Parameters
    ----------
    config : MachineConfig
    n_keys : how many locks one core can hold at a time.

    Members
    -------
    deed : what somebody does; valid in the clock in which it is heard.  by : who, as one bit.
    bad : a lock is taken that is held, or given back by somebody who does not hold it.
    full : there is no room for the lock that is taken.
    """

    def __init__(self, config, n_keys):
        self._config = config
        self._n_keys = n_keys
        super().__init__({
            "deed": In(deed_layout(config)),
            "by": In(config.n_cores),
            "bad": Out(1),
            "full": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config, deed = self._config, self.deed
        key_layout = data.StructLayout({"held": 1, "address": config.address_bits})
        rings = [[Signal(key_layout, name=f"key{core}_{index}") for index in range(self._n_keys)] for core in range(config.n_cores)]

        holds, gives = Signal(), Signal()
        m.d.comb += [
            holds.eq(deed.valid & (deed.deed == Deed.HOLD)),
            gives.eq(deed.valid & (deed.deed == Deed.RELEASE)),
        ]
        held = Signal(config.n_cores)     # who holds this lock
        room = Signal(config.n_cores)     # who has room for another one
        with m.If(holds | gives):
            for core, ring in enumerate(rings):
                matches = Signal(self._n_keys, name=f"matches{core}")
                free = Signal(self._n_keys, name=f"free{core}")
                m.d.comb += [
                    matches.eq(Cat(key.held & (key.address == deed.address) for key in ring)),
                    free.eq(Cat(~key.held for key in ring)),
                    held[core].eq(matches.any()),
                    room[core].eq(free.any()),
                ]
                for index, key in enumerate(ring):
                    with m.If(matches[index]):
                        m.d.sync += key.held.eq(0)
                    with m.If(holds & self.by[core] & (free & -free)[index]):
                        m.d.sync += [key.held.eq(1), key.address.eq(deed.address)]
            m.d.comb += [
                self.bad.eq((held != 0) & holds | ((held & self.by) == 0) & gives),
                self.full.eq(holds & ((room & self.by) == 0)),
            ]
        return m
