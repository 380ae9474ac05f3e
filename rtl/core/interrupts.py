"""The interrupts of a core: the interrupt flag, which interrupt is accepted and when, and the nesting depth."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .microword import Op

__all__ = ["Interrupts"]


class Interrupts(wiring.Component):
    """Tracks CLI, STI, IRQSAVE, IRQRESTORE and IRET as they complete, and accepts interrupts between two words.

    An interrupt is accepted in a clock with ``between`` if the local APIC requests one, interrupts are on, the last completed word
    was not an STI that switched them on (the STI shadow), and ``hold`` was low at the last clock edge. Acceptance switches
    interrupts off.

    Acceptance costs ``entry`` further clocks, and IRET ``leave``. If that is not 0, ``delays`` is high in the clock of the
    acceptance or IRET, and ``delayed`` in the last further clock.

    Parameters
    ----------
    config : MachineConfig

    Members
    -------
    entry, leave : straps, in clocks; bits above the low ``delay_bits`` are ignored.
    interrupt, pending_vector : from the local APIC.  hold : sampled at the clock edge.
    between : the core may accept in this clock: no word has begun, and none must execute first.
    accept : an interrupt is accepted in this clock.  refused : with ``accept``: no room for the return address, which is a trap.
    op : operation of the current word.  completes : that word completes in this clock.
    popped : for IRQRESTORE and IRET: the interrupt flag to restore.
    clear : sets the state after INIT at the end of this clock, whatever the other inputs are; does not clear ``vector``.
    on : interrupts are on.  vector : of the interrupt accepted last.  depth : interrupts accepted and not left; limited by the
        room in the private stack, and modulo ``stack_depth`` if a program unbalances the stack.
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
