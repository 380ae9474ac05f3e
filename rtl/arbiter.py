"""Round-robin arbitration."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

__all__ = ["RoundRobin", "number_of"]


def number_of(one_hot):
    """The number of the set bit; 0 if none is set."""
    n = len(one_hot)
    return Cat((one_hot & sum(1 << i for i in range(n) if i >> bit & 1)).any() for bit in range(max(1, ceil_log2(n))))


class RoundRobin(wiring.Component):
    """Grants one of ``n`` requesters in every clock in which there is one.

    ``grant`` and ``index`` follow ``requests`` in the same clock. The requester granted in a clock has the lowest priority
    in the next one, and priority falls from it upwards in number, around the end: whoever keeps requesting is granted
    within ``n`` grants. A clock without requests changes nothing; after reset requester 0 comes first.

    Both isolations of the lowest bit are one carry chain each.

    Parameters
    ----------
    n : requesters, at least 1.

    Members
    -------
    requests : the requesters.
    grant : one-hot, or 0 without requests.
    index : number of the bit in ``grant``; 0 without requests.
    """

    def __init__(self, n):
        super().__init__({
            "requests": In(n),
            "grant": Out(n),
            "index": Out(max(1, ceil_log2(n))),
        })

    def elaborate(self, platform):
        m = Module()
        n = len(self.requests)
        above = Signal(n)             # the requesters above the one granted last
        preferred = self.requests & above
        candidates = Mux(preferred.any(), preferred, self.requests)
        # All of it under one condition, so that a simulator that computes only what is needed is idle most of the time.
        with m.If(self.requests.any()):
            m.d.comb += [
                self.grant.eq(candidates & -candidates),
                self.index.eq(number_of(self.grant)),
            ]
            m.d.sync += above.eq(~(self.grant | self.grant - 1))
        return m
