"""The memory path of a core: what stands between its microinstructions and its port of the arena."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .port import MemoryPort, memory_request_layout

__all__ = ["MemoryPath"]


class MemoryPath(wiring.Component):
    """Sequentially consistent: one operation at a time, and the core waits until it is visible.

    The core raises ``issue`` for one clock, with ``request``; never while ``busy``. From the next clock on the operation stands
    at ``port`` until it is done. ``done`` and ``old`` are those of the port. Without contention and without arena latency,
    ``done`` comes two clocks after ``issue``.

    Members
    -------
    issue, request : from the core.
    busy : an operation is under way.
    drained : everything issued before is visible to all (what FENCE waits for).
    done, old : to the core.
    port : MemoryPort; ``valid`` and ``request`` are functions of state.
    """

    def __init__(self, config):
        self._config = config
        super().__init__({
            "issue": In(1),
            "request": In(memory_request_layout(config)),
            "busy": Out(1),
            "drained": Out(1),
            "done": Out(1),
            "old": Out(config.xlen),
            "port": Out(MemoryPort(config)),
        })

    def elaborate(self, platform):
        m = Module()
        m.d.comb += [
            self.drained.eq(~self.busy),
            self.port.valid.eq(self.busy),
            self.done.eq(self.port.done),
            self.old.eq(self.port.old),
        ]
        with m.If(self.issue):
            m.d.sync += [self.busy.eq(1), self.port.request.eq(self.request)]
        with m.Elif(self.port.done):
            m.d.sync += self.busy.eq(0)
        return m
