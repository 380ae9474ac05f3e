"""A serial line: 8 data bits, no parity, 1 stop bit."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

__all__ = ["UartReceiver", "UartTransmitter"]

#: Start bit, data bits, stop bit.
_BITS = 10


def _check_divisor(divisor):
    if isinstance(divisor, bool) or not isinstance(divisor, int):
        raise TypeError(f"divisor must be an integer, not {divisor!r}")
    if divisor < 2:
        raise ValueError(f"divisor must be at least 2, not {divisor}")


class UartReceiver(wiring.Component):
    """Octets from a line. Each bit is sampled once, in its middle; an octet whose stop bit is missing is dropped.

    Parameters
    ----------
    divisor : clocks per bit, at least 2.

    Members
    -------
    rx : the line, which may change at any time.
    valid : for one clock: ``octet`` has come. It is lost if it is not taken then.
    octet : valid with ``valid``.
    """

    def __init__(self, divisor):
        _check_divisor(divisor)
        self._divisor = divisor
        super().__init__({"rx": In(1, init=1), "valid": Out(1), "octet": Out(8)})

    def elaborate(self, platform):
        m = Module()
        line = Signal(init=1)
        m.submodules.synchronizer = FFSynchronizer(self.rx, line, init=1)
        left = Signal(range(_BITS + 1))         # bits to sample; 0: the line is idle
        wait = Signal(range(self._divisor))     # clocks until the next sample
        with m.If(left == 0):
            m.d.sync += wait.eq(self._divisor // 2 - 1)
            with m.If(~line):
                m.d.sync += left.eq(_BITS)
        with m.Elif(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        with m.Else():
            m.d.sync += [wait.eq(self._divisor - 1), left.eq(left - 1)]
            with m.If(left == 1):
                m.d.comb += self.valid.eq(line)
            with m.Else():
                m.d.sync += self.octet.eq(Cat(self.octet[1:], line))
            with m.If((left == _BITS) & line):  # not a start bit, but a glitch
                m.d.sync += left.eq(0)
        return m


class UartTransmitter(wiring.Component):
    """Octets onto a line.

    Parameters
    ----------
    divisor : clocks per bit, at least 2.

    Members
    -------
    tx : the line; a register.
    valid, ready, octet : ``octet`` is taken at the end of a clock in which both are high. ``ready`` is a function of state.
    """

    def __init__(self, divisor):
        _check_divisor(divisor)
        self._divisor = divisor
        super().__init__({"tx": Out(1, init=1), "valid": In(1), "ready": Out(1), "octet": In(8)})

    def elaborate(self, platform):
        m = Module()
        bits = Signal(_BITS - 1, init=-1)       # those after the one on the line
        left = Signal(range(_BITS + 1))
        wait = Signal(range(self._divisor))
        m.d.comb += self.ready.eq(left == 0)
        with m.If(self.ready):
            m.d.sync += wait.eq(self._divisor - 1)
            with m.If(self.valid):
                m.d.sync += [Cat(self.tx, bits).eq(Cat(0, self.octet, 1)), left.eq(_BITS)]
        with m.Elif(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        with m.Else():
            m.d.sync += [wait.eq(self._divisor - 1), left.eq(left - 1), Cat(self.tx, bits).eq(Cat(bits, 1))]
        return m
