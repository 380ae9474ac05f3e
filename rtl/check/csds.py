"""The csds that a core owns: which are locked, which are queued, and which of its calls use them."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .operation import MAX_CALLS, Operation, operation_layout

__all__ = ["Csds", "scope_layout", "state_layout"]

#: The state before the operation, each for one clock.
state_layout = data.StructLayout({
    "known": 1,           # there is an entry for this address
    "locked": 1,          # it was locked
    "used": 1,            # another unfinished call of the owner has locked it
    "linked": 1,          # it was queued, and not unlinked since
    "counted": 1,         # its count was not 0
    "full": 1,            # there is no room for it
})

#: Which of these to track: a state whose end the protocol does not report would never end. Held.
scope_layout = data.StructLayout({
    "locks": 1,           # LOCK, until UNLOCK
    "calls": 1,           # the call that uses it, until RESULT
    "links": 1,           # QUEUE, until DEQUEUE or DELETE
    "takes": 1,           # TAKE unlinks, because the protocol does not report DELETE
})


class Csds(wiring.Component):
    """The csds that one core owns. The owner is the core that locks or queues a csd. A csd that is not locked, used or linked is
    forgotten once its entry is needed.

    The state of clock ``t + 1`` is what the operation of clock ``t`` found.

    Parameters
    ----------
    config : MachineConfig
    n_entries : how many csds there may be at a time.

    Members
    -------
    operation : of any core; valid in the clock in which it has the bus.  own : this core is the owner.
    scope : see ``scope_layout``.
    over : a call of this core has ended.  calls : how many calls it was in, including that one, in unary.
    state : see ``state_layout``.
    locked : a csd is locked.
    """

    def __init__(self, config, n_entries):
        self._config = config
        self._n_entries = n_entries
        super().__init__({
            "operation": In(operation_layout(config)),
            "own": In(1),
            "scope": In(scope_layout),
            "over": In(1),
            "calls": In(MAX_CALLS),
            "state": Out(state_layout),
            "locked": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config, count, operation, state = self._config, self._n_entries, self.operation, self.state
        csd = [Signal(config.xlen, name=f"csd{index}") for index in range(count)]
        calls = [Signal(MAX_CALLS, name=f"calls{index}") for index in range(count)]       # of the call that has locked it
        locked, used, linked, counted = Signal(count), Signal(count), Signal(count), Signal(count)

        same, free, chosen, meant = Signal(count), Signal(count), Signal(count), Signal(count)
        begins = Signal()
        acts = operation.valid & operation.operation.as_value().matches(*_OF_CSDS)
        m.d.comb += self.locked.eq(locked.any())
        m.d.sync += state.eq(0)
        with m.If(acts):
            others = Cat(of != operation.calls for of in calls)
            m.d.comb += same.eq(Cat(of == operation.a for of in csd))
            m.d.sync += [
                state.known.eq(same.any()),
                state.locked.eq((same & locked).any()),
                state.used.eq((same & used & (others | ~self.own.replicate(count))).any()),
                state.linked.eq((same & linked).any()),
                state.counted.eq((same & counted).any()),
            ]
            with m.Switch(operation.operation):
                with m.Case(Operation.LOCK, Operation.QUEUE):
                    m.d.comb += begins.eq(self.own)
                with m.Case(Operation.UNLOCK):
                    m.d.sync += locked.eq(locked & ~same)
                with m.Case(Operation.TAKE):
                    with m.If(self.scope.takes):
                        m.d.sync += linked.eq(linked & ~same)
                with m.Case(Operation.DEQUEUE, Operation.DELETE):
                    m.d.sync += [linked.eq(linked & ~same), counted.eq(counted & ~same)]
                with m.Case(Operation.COUNT):
                    m.d.sync += counted.eq(Mux(operation.b.any(), counted | same, counted & ~same))
        with m.If(self.over):
            m.d.sync += used.eq(used & ~Cat(of == self.calls for of in calls))
        with m.If(begins):
            m.d.comb += [
                free.eq(~(locked | used | linked)),
                chosen.eq(Mux(same.any(), 0, free & -free)),
                meant.eq(same | chosen),
            ]
            m.d.sync += [state.full.eq(meant == 0), counted.eq(counted & ~chosen)]
            with m.If(operation.operation == Operation.LOCK):
                m.d.sync += [
                    locked.eq(locked | Mux(self.scope.locks, meant, 0)),
                    used.eq(used | Mux(self.scope.calls & operation.calling, meant, 0)),
                ]
            with m.Else():
                m.d.sync += linked.eq(linked | Mux(self.scope.links, meant, 0))
            for index in range(count):
                with m.If(chosen[index]):
                    m.d.sync += csd[index].eq(operation.a)
                with m.If(meant[index] & (operation.operation == Operation.LOCK)):
                    m.d.sync += calls[index].eq(operation.calls)
        return m


_OF_CSDS = (Operation.LOCK, Operation.UNLOCK, Operation.QUEUE, Operation.TAKE, Operation.DEQUEUE, Operation.DELETE, Operation.COUNT,
            Operation.COMPLETE)
