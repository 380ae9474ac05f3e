"""How a core starts: power-up, INIT and STARTUP. Intel SDM volume 3, "MP Initialization Protocol"."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Start"]


class Start(wiring.Component):
    """Holds INIT and STARTUP until they can take effect.

    INIT may arrive at any time. It cancels a pending STARTUP, and takes effect as soon as no memory operation is in progress.
    A STARTUP counts only if the core waits for it, or will wait for it because an INIT is pending. At power-up every core
    waits for STARTUP; this component gives it to the bootstrap core, in the first clock with ``go``.

    Members
    -------
    bootstrap : this core starts by itself; constant.
    go : the core may do something in this clock.
    init, startup : pulses; not both in a clock.
    waits : the core waits for STARTUP.
    busy : the core starts a memory operation in this clock, or has one in progress that does not end in this clock.
    restart : INIT takes effect in this clock.
    begin : STARTUP takes effect in this clock; only with ``waits``, never with ``restart``.
    pending : an INIT, a STARTUP or the power-up has yet to take effect. A function of state.
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
