"""How a core starts: power-up, INIT and STARTUP. Intel SDM volume 3, "MP Initialization Protocol"."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Start"]


class Start(wiring.Component):
    """INIT and STARTUP wait here until they can be carried out.

    INIT may arrive at any time, and is carried out as soon as no memory operation is in progress. It cancels a pending STARTUP.
    A STARTUP takes effect if the core waits for one, or will, because an INIT has arrived before it. At power-up every core
    waits for STARTUP; the bootstrap core gets it from here, in its first clock with ``go``.

    Members
    -------
    bootstrap : this is the core that starts by itself; constant.
    go : the core may do something in this clock.
    init, startup : pulses; not both in a clock.
    waits : the core waits for STARTUP.
    busy : it starts a memory operation in this clock, or one is in progress that does not end in it.
    restart : INIT is carried out in this clock.
    begin : STARTUP is; only with ``waits``, never with ``restart``.
    pending : something is left to carry out. A function of state.
    """

    bootstrap: In(1)
    go: In(1)
    init: In(1)
    startup: In(1)
    waits: In(1)
    busy: In(1)
    restart: Out(1)
    begin: Out(1)
    pending: Out(1)

    def elaborate(self, platform):
        m = Module()
        init, startup, powered_up = Signal(), Signal(), Signal()
        powers_up = Signal()
        m.d.comb += [
            self.pending.eq(init | startup | ~powered_up),
            self.restart.eq(init & ~self.busy),
            powers_up.eq(~powered_up & self.go & ~self.restart),
            self.begin.eq(startup & self.waits & ~self.restart & ~powers_up),
        ]
        m.d.sync += [powered_up.eq(powered_up | powers_up), init.eq(self.init | init & ~self.restart)]
        with m.If(powers_up & self.bootstrap):
            m.d.sync += startup.eq(1)
        with m.Elif(self.begin | self.init):
            m.d.sync += startup.eq(0)
        with m.Elif(self.startup & (init | self.waits)):
            m.d.sync += startup.eq(1)
        return m
