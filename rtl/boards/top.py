"""The top of a bitstream: a Board on the pins of a platform."""

from amaranth.hdl import ClockDomain, Elaboratable, Module
from amaranth.lib import io

__all__ = ["Top"]


class Top(Elaboratable):
    """Joins a Board to the pins of an amaranth-boards platform: its serial line, and as many lights as there are, in this order:
    violation, heartbeat, then one per core, for "in handler". One light alone is the heartbeat until there is a violation.

    Parameters
    ----------
    board : Board.
    clocking : Clocking; None: the platform's own clock.
    lights : the platform's lights, as (resource, number, pin or None).
    """

    def __init__(self, board, *, clocking=None, lights=()):
        self._board, self._clocking, self._lights = board, clocking, lights

    def elaborate(self, platform):
        m = Module()
        if self._clocking is not None:
            m.domains.sync = ClockDomain()
            m.submodules.clocking = self._clocking
        m.submodules.board = board = self._board
        uart = platform.request("uart", 0, dir=_every_pin(platform, "uart", 0))
        m.submodules.rx, m.submodules.tx = rx, tx = io.Buffer("i", uart.rx), io.Buffer("o", uart.tx)
        m.d.comb += [board.rx.eq(rx.i), tx.o.eq(board.tx)]
        shown = [board.violation, board.heartbeat, *board.in_handler]
        if len(self._lights) == 1:
            shown = [board.violation | board.heartbeat]
        requested = {}
        for number, ((name, index, pin), value) in enumerate(zip(self._lights, shown, strict=False)):
            if (name, index) not in requested:
                pins = "-" if pin is None else _every_pin(platform, name, index)
                requested[name, index] = platform.request(name, index, dir=pins)
            light = requested[name, index]
            m.submodules[f"light{number}"] = buffer = io.Buffer("o", light if pin is None else getattr(light, pin))
            m.d.comb += buffer.o.eq(value)
        return m


def _every_pin(platform, name, number):
    """What ``request`` is told to give all pins of a resource as they are. (Some serial lines have more than two.)"""
    return {part.name: "-" for part in platform.lookup(name, number).ios}
