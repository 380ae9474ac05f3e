"""Rounds: run after run by itself, each from the same contents and with the next seed, until one of them shows something."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..monitor import Monitor

__all__ = ["Rounds"]

#: Clocks from the end of a run until its flags are complete: one more than the Monitor takes, whose input is a register.
_SETTLE = Monitor.LATENCY + 1


class Rounds(wiring.Component):
    """A round drops the run before it, restores the arena, begins a run, waits for its end and for the flags, and looks at them.
    If one is set, or the round was the last, the machine stands at the end of that run; otherwise the next round begins.

    Members
    -------
    begin : begin with run 0, or go on with the hunt that has begun, until the run with the number ``last``. A hunt that has found
        something stays as it is, so this can be repeated.
    last : read with ``begin``.
    running : a run goes on, as ``Runner.summary`` has it.
    restored : high for one clock: the arena is as it was.
    hit : a flag is set.
    hold, restore, go : pulses: drop the run, restore the arena, begin a run.
    begun : a hunt has begun.  going : it makes runs.  found : its last run has a flag.
    number : of the run. What comes of it is known when ``going`` is low.
    """

    def __init__(self):
        super().__init__({
            "begin": In(1),
            "last": In(32),
            "running": In(1),
            "restored": In(1),
            "hit": In(1),
            "hold": Out(1),
            "restore": Out(1),
            "go": Out(1),
            "begun": Out(1),
            "going": Out(1),
            "found": Out(1),
            "number": Out(32),
        })

    def elaborate(self, platform):
        m = Module()
        last, left = Signal(32), Signal(range(_SETTLE))
        with m.If(self.begin):
            m.d.sync += last.eq(self.last)
        with m.FSM() as states:
            m.d.comb += self.going.eq(~states.ongoing("STAND"))
            with m.State("STAND"):
                with m.If(self.begin & ~self.begun):
                    m.d.sync += [self.begun.eq(1), self.number.eq(0)]
                    m.next = "DROP"
                with m.Elif(self.begin & ~self.found & (self.number < self.last)):
                    m.d.sync += self.number.eq(self.number + 1)
                    m.next = "DROP"
            with m.State("DROP"):
                m.d.comb += [self.hold.eq(1), self.restore.eq(1)]
                m.next = "RESTORE"
            with m.State("RESTORE"):
                with m.If(self.restored):
                    m.next = "GO"
            with m.State("GO"):
                m.d.comb += self.go.eq(1)
                m.next = "RUN"
            with m.State("RUN"):
                m.d.sync += left.eq(_SETTLE - 1)
                with m.If(~self.running):
                    m.next = "SETTLE"
            with m.State("SETTLE"):
                m.d.sync += left.eq(left - 1)
                with m.If(left == 0):
                    m.next = "LOOK"
            with m.State("LOOK"):
                m.d.sync += self.found.eq(self.hit)
                with m.If(self.hit | (self.number >= last)):
                    m.next = "STAND"
                with m.Else():
                    m.d.sync += self.number.eq(self.number + 1)
                    m.next = "DROP"
        return m
