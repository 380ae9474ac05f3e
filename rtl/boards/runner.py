"""Begins a run of the machine on a board, counts its clocks and stops them."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .wire import summary_layout

__all__ = ["Runner"]


class Runner(wiring.Component):
    """A run begins with a clock of ``reset``, in which ``enable`` is low, so that no memory operation in progress is carried out;
    then comes one with ``run`` low, which Machine requires. The clocks of the run are those with ``run`` and ``enable`` high. The
    last one is the first in which the machine is quiet or trapped, as for an engine, or the one with the number ``last``. After it
    ``enable`` stays low, so that the machine keeps the state of that clock, until the run continues or ends.

    Parameters
    ----------
    begin : whether a run begins at power-up by itself.

    Members
    -------
    go : begin a run, or continue the one that has begun, until the clock with the number ``last``; one that has ended stays so.
    last : read with ``go``.
    hold : end the run, with a clock of ``reset``.
    run, quiet, trapped : of the machine.
    reset, enable : of all of its registers and memories.
    summary : of the run; after its end, of the last one.
    """

    def __init__(self, *, begin=False):
        self._begin = begin
        super().__init__({
            "go": In(1),
            "last": In(32),
            "hold": In(1),
            "quiet": In(1),
            "trapped": In(1),
            "run": Out(1),
            "reset": Out(1),
            "enable": Out(1),
            "summary": Out(summary_layout),
        })

    def elaborate(self, platform):
        m = Module()
        start, settle, begun, going = Signal(init=self._begin), Signal(), Signal(), Signal()
        dropped = Signal()
        clock, last = Signal(32), Signal(32, init=-1)
        quiet, trapped = Signal(), Signal()
        m.d.sync += [start.eq(0), settle.eq(start), dropped.eq(self.hold)]
        with m.If(settle):
            m.d.sync += [begun.eq(1), going.eq(1), clock.eq(0), quiet.eq(0), trapped.eq(0)]
        with m.If(going):
            m.d.sync += [clock.eq(clock + 1), quiet.eq(self.quiet), trapped.eq(self.trapped)]
            with m.If(self.quiet | self.trapped | (clock == last)):
                m.d.sync += going.eq(0)
        with m.If(self.go):
            m.d.sync += last.eq(self.last)
            with m.If(~begun):
                m.d.sync += start.eq(1)
            with m.Elif(~going & ~quiet & ~trapped & (clock <= self.last)):
                m.d.sync += going.eq(1)
        with m.If(self.hold):
            m.d.sync += [start.eq(0), settle.eq(0), begun.eq(0), going.eq(0)]
        m.d.comb += [
            self.run.eq(begun),
            self.reset.eq(start | dropped),
            self.enable.eq(going | ~(begun | self.reset)),
            self.summary.begun.eq(begun | start | settle),
            self.summary.running.eq(going | start | settle),
            self.summary.quiet.eq(quiet),
            self.summary.trapped.eq(trapped),
            self.summary.clock.eq(clock),
        ]
        return m
