"""The interrupts of a core: its interrupt flag, which interrupt it accepts and when, and how many it is inside."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .microword import Op

__all__ = ["Interrupts"]


class Interrupts(wiring.Component):
    """Follows CLI, STI, IRQSAVE, IRQRESTORE and IRET as they complete, and offers acceptance between two words.

    An interrupt is accepted in a clock with ``between`` if the local APIC requests one, interrupts are on, the last completed word
    was not an STI that switched them on (the STI shadow), and acceptance was not held at the last edge. Acceptance switches
    interrupts off.

    Acceptance and IRET cost ``entry`` and ``leave`` further clocks: ``delays`` is high in the clock of either if there are any,
    and ``delayed`` in the last of them.

    Parameters
    ----------
    config : MachineConfig

    Members
    -------
    entry, leave : straps, in clocks; what ``delay_bits`` do not hold is not looked at.
    interrupt, pending_vector : from the local APIC.  hold : sampled at the clock edge.
    between : the core may accept in this clock: no word has begun, and none must execute first.
    accept : an interrupt is accepted in this clock.  refused : ... but its return address has no room, which is a trap.
    op, completes : the word that completes in this clock.
    popped : for IRQRESTORE and IRET: the interrupt flag to restore.
    clear : the state after INIT, at the end of this clock, whatever the other inputs are; ``vector`` stays.
    on : interrupts are on.  vector : of the interrupt accepted last.  depth : interrupts accepted and not left; at most as many
        as the private stack has room for, and modulo ``stack_depth`` if a program unbalances the stack.
    """

    def __init__(self, config):
        self._config = config
        super().__init__({
            "entry": In(8),
            "leave": In(8),
            "interrupt": In(1),
            "pending_vector": In(8),
            "hold": In(1),
            "between": In(1),
            "accept": Out(1),
            "refused": In(1),
            "op": In(Op),
            "completes": In(1),
            "popped": In(1),
            "clear": In(1),
            "delays": Out(1),
            "delayed": Out(1),
            "on": Out(1),
            "vector": Out(8),
            "depth": Out(config.stack_bits),
        })

    def elaborate(self, platform):
        m = Module()
        held, shadow = Signal(), Signal()
        accepted, left = Signal(), Signal()
        delay, cost = Signal(self._config.delay_bits), Signal(self._config.delay_bits)
        m.d.sync += held.eq(self.hold)
        m.d.comb += [
            self.accept.eq(self.between & self.interrupt & self.on & ~shadow & ~held),
            accepted.eq(self.accept & ~self.refused),
            left.eq(self.completes & (self.op == Op.IRET)),
            cost.eq(Mux(accepted, self.entry, self.leave)),
            self.delays.eq((accepted | left) & (cost != 0)),
            self.delayed.eq(delay == 1),
        ]
        with m.If(self.clear):
            m.d.sync += [self.on.eq(0), self.depth.eq(0), shadow.eq(0), delay.eq(0)]
        with m.Elif(accepted):
            m.d.sync += [self.on.eq(0), self.depth.eq(self.depth + 1), delay.eq(cost)]
        with m.Elif(self.completes):
            m.d.sync += shadow.eq((self.op == Op.STI) & ~self.on)
            with m.Switch(self.op):
                with m.Case(Op.CLI, Op.IRQSAVE):
                    m.d.sync += self.on.eq(0)
                with m.Case(Op.STI):
                    m.d.sync += self.on.eq(1)
                with m.Case(Op.IRQRESTORE):
                    m.d.sync += self.on.eq(self.popped)
                with m.Case(Op.IRET):
                    m.d.sync += [self.on.eq(self.popped), self.depth.eq(self.depth - 1), delay.eq(cost)]
        with m.Elif(delay != 0):
            m.d.sync += delay.eq(delay - 1)
        with m.If(accepted):
            m.d.sync += self.vector.eq(self.pending_vector)
        return m
