"""The spin locks that a core holds."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .operation import Operation, operation_layout

__all__ = ["Locks", "holding_layout"]

#: The state before the lock was taken or released, each for one clock.
holding_layout = data.StructLayout({
    "held": 1,            # this core held it
    "known": 1,           # this core was seen to take it
    "full": 1,            # there is no room for it
})


class Locks(wiring.Component):
    """The spin locks that one core holds, and, as far as there is room, those that it has held. A lock that is taken while it is
    held belongs to the core that took it last.

    The holding of clock ``t + 1`` is what the operation of clock ``t`` found.

    Parameters
    ----------
    config : MachineConfig
    n_entries : how many locks the core can hold at a time.

    Members
    -------
    operation : of any core; valid in the clock in which it has the bus.  own : it is this core's.
    holding : see ``holding_layout``.
    held : this core holds a lock.
    """

    def __init__(self, config, n_entries):
        self._config = config
        self._n_entries = n_entries
        super().__init__({
            "operation": In(operation_layout(config)),
            "own": In(1),
            "holding": Out(holding_layout),
            "held": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        operation, count, holding = self.operation, self._n_entries, self.holding
        held, known = Signal(count), Signal(count)
        locks = [Signal(self._config.address_bits, name=f"lock{index}") for index in range(count)]
        same, free, chosen = Signal(count), Signal(count), Signal(count)

        m.d.comb += self.held.eq(held.any())
        m.d.sync += holding.eq(0)
        with m.If(operation.valid & operation.operation.as_value().matches(Operation.HOLD, Operation.RELEASE)):
            m.d.comb += same.eq(known & Cat(lock == operation.a for lock in locks))
            with m.If(self.own & (operation.operation == Operation.HOLD)):
                m.d.comb += [
                    free.eq(Mux(known.all(), ~held, ~known)),
                    chosen.eq(Mux(same.any(), same, free & -free)),
                ]
                m.d.sync += [holding.full.eq(chosen == 0), known.eq(known | chosen)]
            m.d.sync += [held.eq(held & ~same | chosen), holding.held.eq((held & same).any()), holding.known.eq(same.any())]
            for index, lock in enumerate(locks):
                with m.If(chosen[index]):
                    m.d.sync += lock.eq(operation.a)
        return m
