"""The Monitor: the oracles that fit in hardware. It knows no address of the protocol and no constant of it."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .events import Event, trace_layout

__all__ = ["Monitor", "flag_layout", "flags_layout"]


#: One check. It is sticky: ``clock`` is that of the record that violated it first.
flag_layout = data.StructLayout({"hit": 1, "clock": 32})

#: What a Monitor has found.
flags_layout = data.StructLayout({name: flag_layout for name in (
    "early_return",     # a caller that waited went on while a target of its call had not finished the function
    "not_once",         # a function was run again, by a core that is no target, or for no call
    "lost",             # all has come to rest, but a call is not over, or a csd is locked
    "refs",             # the count fell below 0, or an entry was deleted before count and targets came to nothing
    "unlock",           # a csd was unlocked that was not locked
    "owner",            # a csd was locked that was locked, or in the middle of another call with it
    "mask",             # the mask given to the APIC is empty, or names a core that is not online
    "lock",             # a spin lock was taken that was held, or given back by somebody else
    "warn",             # a WARN_ON was hit
    "trap",             # a core trapped
    "stuck",            # nothing has happened for more than ``patience`` clocks
    "overflow",         # there was more to remember than there is room: from here on no flag is proof of anything
)})


class Monitor(wiring.Component):
    """

    Parameters
    ----------
    config : MachineConfig

    Members
    -------
    run : as of Machine.
    trace : all records of this clock.  quiet : as of Machine.
    patience : clocks without progress until the run is stuck; held during a run.
    flags : sticky, and registered.
    """

    #: After the last clock of a run, with ``run`` low, so many clocks pass until the flags say all.
    LATENCY = 8

    def __init__(self, config, *, entries_per_core=4):
        self._config = config
        super().__init__({
            "run": In(1),
            "trace": In(trace_layout(config)),
            "quiet": In(1),
            "patience": In(32),
            "flags": Out(flags_layout),
        })

    def elaborate(self, platform):
        m = Module()
        now = Signal(32)
        with m.If(self.run):
            m.d.sync += now.eq(now + 1)
        for core in self.trace.core:
            with m.If((core.event == Event.WARN) & ~self.flags.warn.hit):
                m.d.sync += [self.flags.warn.hit.eq(1), self.flags.warn.clock.eq(now)]
        return m
