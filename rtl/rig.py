"""The Rig: a Machine, the Scheduler that drives it and the Monitor that judges it. Engines elaborate it."""

from amaranth.hdl import Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .apic.faults import fault_layout
from .check.core_monitor import CoreMonitor
from .check.room import Room
from .config import straps_layout
from .core.seen import status_layout
from .events import trace_layout
from .machine import LoadPort, Machine
from .monitor import Monitor, flags_layout, profile_layout
from .probe import probe_layout
from .schedule import Scheduler, plan_layout, schedule_layout
from .share import share
from .tile import Tile

__all__ = ["Rig"]


class Rig(wiring.Component):
    """Machine, Scheduler and Monitor, connected; nothing else.

    Parameters
    ----------
    config : MachineConfig
    tile : see Machine.  room, core_monitor : see Monitor.

    Attributes
    ----------
    machine : Machine; its contents may be written as it says.

    Members
    -------
    straps, run, load, status, quiet, trapped, trace, probe : see Machine.
    plan, replay : see Scheduler; ``plan`` includes ``Machine.fault``. ``plan`` is held from the last clock with ``run`` low on.
    patience, profile : see Monitor.
    schedule : the one in force in this clock, for recording.
    flags : see Monitor.
    """

    def __init__(self, config, *, tile=Tile, room=Room(), core_monitor=CoreMonitor):
        self.machine = Machine(config, tile=tile)
        self._scheduler = Scheduler(config)
        self._monitor = Monitor(config, room=room, core_monitor=core_monitor)
        super().__init__({
            "straps": In(straps_layout),
            "run": In(1),
            "load": In(LoadPort(config)),
            "plan": In(plan_layout),
            "replay": In(schedule_layout(config)),
            "patience": In(32),
            "profile": In(profile_layout(config)),
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
        share(machine, straps=self.straps, run=self.run, load=self.load, schedule=self.schedule, status=self.status,
              quiet=self.quiet, trapped=self.trapped, trace=self.trace, probe=self.probe)
        m.d.comb += [self.machine.fault[name].eq(self.plan[name]) for name, _ in fault_layout]
        share(scheduler, run=self.run, plan=self.plan, status=self.status, replay=self.replay, schedule=self.schedule)
        share(monitor, run=self.run, patience=self.patience, profile=self.profile, trace=self.trace, lost=machine.lost,
              quiet=self.quiet, flags=self.flags)
        return m
