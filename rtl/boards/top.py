"""The top level of a bitstream: a Board connected to the pins of a platform."""

from contextlib import suppress
from itertools import islice

from amaranth.build import ResourceError
from amaranth.hdl import ClockDomain, Elaboratable, Module
from amaranth.lib import io

__all__ = ["Top"]


class Top(Elaboratable):
    """Connects a Board to the pins of an amaranth-boards platform: the serial line, and as many lights as there are, in this order:
    violation, heartbeat, then "in handler" of each core. A single light is the heartbeat, and stays on after a violation.

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
        lights = [*islice(self._requested(platform), len(shown))]
        if len(lights) == 1:
            shown = [board.violation | board.heartbeat]
        for number, (light, value) in enumerate(zip(lights, shown, strict=False)):
            m.submodules[f"light{number}"] = buffer = io.Buffer("o", light)
            m.d.comb += buffer.o.eq(value)
        return m

    def _requested(self, platform):
        """Yield the pin of each light, except lights on pins of the serial line."""
        requested = {}
        for name, number, pin in self._lights:
            with suppress(ResourceError):
                if (name, number) not in requested:
                    pins = "-" if pin is None else _every_pin(platform, name, number)
                    requested[name, number] = platform.request(name, number, dir=pins)
                light = requested[name, number]
                yield light if pin is None else getattr(light, pin)


def _every_pin(platform, name, number):
    """The ``dir`` with which ``request`` returns all pins of a resource as they are. (Some serial lines have more than two.)"""
    return {part.name: "-" for part in platform.lookup(name, number).ios}
