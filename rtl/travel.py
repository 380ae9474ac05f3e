"""How long requests travel: the latency of the fabric and of the arena."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Travel"]


class Travel(wiring.Component):
    """Holds each of ``n`` requests for ``latency`` clocks.

    A request whose ``valid`` rose in clock t is ``ready`` from clock t + ``latency`` on, until its ``done``: with latency 0
    in the clock in which it rises. ``hold`` is sampled at the clock edge: in the clock after it, those requests are not
    ready. They still travel meanwhile.

    ``ready`` depends on ``valid`` in the same clock only if ``latency`` is 0, and changes only when a request arrives, ends
    or is held: the counters behind it do not disturb its readers.

    Parameters
    ----------
    n : requests.

    Members
    -------
    latency : in clocks; constant while anything travels.
    hold : requests to hold in the next clock.
    valid : requests in progress; each is high from its start to its ``done``.
    done : requests that end with this clock.
    ready : requests that have arrived and are not held.
    """

    def __init__(self, n):
        super().__init__({
            "latency": In(8),
            "hold": In(n),
            "valid": In(n),
            "done": In(n),
            "ready": Out(n),
        })

    def elaborate(self, platform):
        m = Module()
        n = len(self.valid)
        held = Signal(n)
        arrived = Signal(n)
        clocks = Signal(data.ArrayLayout(8, n))
        m.d.sync += held.eq(self.hold)
        m.d.comb += self.ready.eq(Mux(self.latency == 0, self.valid, arrived) & ~held)
        with m.If(self.valid.any()):
            for i in range(n):
                with m.If(self.done[i]):
                    m.d.sync += [clocks[i].eq(0), arrived[i].eq(0)]
                with m.Elif(self.valid[i] & ~arrived[i]):
                    m.d.sync += [clocks[i].eq(clocks[i] + 1), arrived[i].eq(clocks[i] + 1 == self.latency)]
        return m
