"""The Keyring: the spin locks that a core holds."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .deed import Deed, deed_layout

__all__ = ["Keyring"]


class Keyring(wiring.Component):
    """The spin locks that one core holds. A lock that is taken although it is held belongs to who took it last.

    The answers of clock ``t + 1`` are to the deed of clock ``t``.

    Parameters
    ----------
    config : MachineConfig
    n_keys : how many locks the core can hold at a time.

    Members
    -------
    deed : what somebody does; valid in the clock in which it is heard.  own : it is this core.
    held : this core held the lock that was taken or given back.
    full : there was no room for the lock that it took.
    """

    def __init__(self, config, n_keys):
        self._config = config
        self._n_keys = n_keys
        super().__init__({
            "deed": In(deed_layout(config)),
            "own": In(1),
            "held": Out(1),
            "full": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        deed, count = self.deed, self._n_keys
        held = Signal(count)
        locks = [Signal(self._config.address_bits, name=f"lock{index}") for index in range(count)]
        matches, chosen = Signal(count), Signal(count)

        m.d.sync += [self.held.eq(0), self.full.eq(0)]
        with m.If(deed.valid & ((deed.deed == Deed.HOLD) | (deed.deed == Deed.RELEASE))):
            m.d.comb += matches.eq(held & Cat(lock == deed.address for lock in locks))
            with m.If(self.own & (deed.deed == Deed.HOLD)):
                m.d.comb += chosen.eq(~held & -~held)
                m.d.sync += self.full.eq(held.all())
            m.d.sync += [held.eq(held & ~matches | chosen), self.held.eq(matches.any())]
            for index, lock in enumerate(locks):
                with m.If(chosen[index]):
                    m.d.sync += lock.eq(deed.address)
        return m
