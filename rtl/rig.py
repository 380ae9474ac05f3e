"""The Rig: a Machine, the Scheduler that drives it and the Monitor that judges it. What engines and boards elaborate."""

from amaranth.hdl import Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .check.witness import Witness
from .config import straps_layout
from .events import trace_layout
from .machine import LoadPort, Machine
from .monitor import Monitor, flags_layout
from .probe import probe_layout
from .schedule import Scheduler, plan_layout, schedule_layout, status_layout
from .tile import Tile

__all__ = ["Rig"]


class Rig(wiring.Component):
    """Machine, Scheduler and Monitor joined, nothing else.

    Parameters
    ----------
    config : MachineConfig
    tile : as of Machine.  witness : as of Monitor.

    Attributes
    ----------
    machine : Machine; its contents may be written as it says.

    Members
    -------
    straps, run, load, status, quiet, trapped, trace, probe : as of Machine.
    plan, replay : as of Scheduler. ``plan`` is held from the last clock with ``run`` low on.
    patience : as of Monitor.
    schedule : in force in this clock; to be recorded.
    flags : as of Monitor.
    """

    def __init__(self, config, *, tile=Tile, witness=Witness):
        self.machine = Machine(config, tile=tile)
        self._scheduler = Scheduler(config)
        self._monitor = Monitor(config, witness=witness)
        super().__init__({
            "straps": In(straps_layout),
            "run": In(1),
            "load": In(LoadPort(config)),
            "plan": In(plan_layout),
            "replay": In(schedule_layout(config)),
            "patience": In(32),
            "status": Out(data.ArrayLayout(status_layout, config.n_cores)),
            "quiet": Out(1),
            "trapped": Out(1),
            "trace": Out(trace_layout(config)),
            "probe": Out(probe_layout(config)),
            "schedule": Out(schedule_layout(config)),
            "flags": Out(flags_layout),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.machine = machine = self.machine
        m.submodules.scheduler = scheduler = self._scheduler
        m.submodules.monitor = monitor = self._monitor
        wiring.connect(m, wiring.flipped(self.load), machine.load)
        m.d.comb += [
            machine.straps.eq(self.straps),
            machine.run.eq(self.run),
            machine.schedule.eq(scheduler.schedule),

            scheduler.run.eq(self.run),
            scheduler.plan.eq(self.plan),
            scheduler.status.eq(machine.status),
            scheduler.replay.eq(self.replay),

            monitor.run.eq(self.run),
            monitor.patience.eq(self.patience),
            monitor.trace.eq(machine.trace),
            monitor.quiet.eq(machine.quiet),

            self.status.eq(machine.status),
            self.quiet.eq(machine.quiet),
            self.trapped.eq(machine.trapped),
            self.trace.eq(machine.trace),
            self.probe.eq(machine.probe),
            self.schedule.eq(scheduler.schedule),
            self.flags.eq(monitor.flags),
        ]
        return m
