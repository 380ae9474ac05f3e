"""The reference engine: Amaranth's own simulator."""

import sys

from amaranth.sim import Simulator

from rtl.check.room import Room
from rtl.monitor import Monitor
from rtl.rig import Rig
from sim.runs.monitor import clocks_of_flags

from .engine import Ending, Engine, Outcome

__all__ = ["PySimEngine", "simulator"]

#: Length of a clock in seconds. Nothing depends on it.
_PERIOD = 1e-8


def simulator(component):
    """A Simulator of a component. PySim writes the mask of each signal as a decimal number; for the trace of many cores that has
    more digits than Python's default limit."""
    digits = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        return Simulator(component)
    finally:
        sys.set_int_max_str_digits(digits)


class PySimEngine(Engine):
    """A Rig in PySim. Elaborated once; every ``run`` resets it and loads its contents through the back door.

    config : MachineConfig.  room : of the Monitor.
    """

    name = "pysim"

    def __init__(self, config, *, room=Room()):
        self.config = config
        self.rig = Rig(config, room=room)
        self._simulator = simulator(self.rig)
        self._simulator.add_clock(_PERIOD)
        self._run = None

    def run(self, job, *, sink=None, probe=False, record=False):
        if self._run is None:
            # Not earlier: Python complains about a testbench that never runs.
            self._simulator.add_testbench(self._testbench)
        else:
            self._simulator.reset()
        self._run = job, sink, probe, record
        self._simulator.run()
        return self._outcome

    def _load(self, ctx, contents):
        machine = self.rig.machine
        for tile in machine.tiles:
            for row, word in enumerate(contents.microcode):
                ctx.set(tile.microcode[row], word)
        for address, word in contents.arena.items():
            bank, row = machine.shared.arena.locate(address)
            ctx.set(machine.shared.arena.banks[bank].data[row], word)

    async def _testbench(self, ctx):
        job, sink, probe, record = self._run
        rig = self.rig
        self._load(ctx, job.contents)
        ctx.set(rig.straps, job.straps.as_const())
        ctx.set(rig.plan, job.plan.as_const())
        ctx.set(rig.patience, job.patience)
        ctx.set(rig.profile, job.profile.as_const())
        # The schedule in force in a clock is set in the clock before: for clock 0, this one.
        upcoming = dict(job.replay)
        replayed = rig.replay.as_value()
        ctx.set(replayed, upcoming.pop(0, 0))
        await ctx.tick()                    # word 0 reaches the output of the microcode store
        ctx.set(rig.run, 1)
        if 1 in upcoming:
            ctx.set(replayed, upcoming.pop(1))

        valid_of = _valid_bits(rig)
        window = probe if isinstance(probe, range) else range(job.max_clocks if probe and sink is not None else 0)
        signals = [rig.quiet, rig.trapped, rig.trace.as_value()]
        if window:
            signals.append(rig.probe.as_value())
        if record:
            signals.append(rig.schedule.as_value())
        ending = Ending.LIMIT
        clock = 0
        changes, in_force = [], 0
        async for sampled in ctx.tick().sample(*signals):
            quiet, trapped, trace = sampled[2:5]
            watched = clock in window
            raw_probe = sampled[5] if watched else None
            if record and sampled[-1] != in_force:
                in_force = sampled[-1]
                changes.append((clock, in_force))
            records = []
            if trace and sink is not None:
                for index, shift, mask in valid_of:
                    raw = trace >> shift & mask
                    if raw & 1:
                        records.append((index, raw))
            stop = sink.on_clock(clock, records, raw_probe) if records or watched else False
            clock += 1
            if stop:
                ending = Ending.STOPPED
            elif trapped:
                ending = Ending.TRAP
            elif quiet:
                ending = Ending.QUIET
            elif clock < job.max_clocks:
                if clock + 1 in upcoming:
                    ctx.set(replayed, upcoming[clock + 1])
                continue
            break
        arena = self._arena(ctx)
        ctx.set(rig.run, 0)
        for _ in range(Monitor.LATENCY):
            await ctx.tick()
        flags = clocks_of_flags(ctx.get(rig.flags.as_value()))
        self._outcome = Outcome(clock, ending, arena, flags, tuple(changes) if record else None)

    def _arena(self, ctx):
        arena = self.rig.machine.shared.arena
        places = map(arena.locate, range(self.config.arena_depth))
        return tuple(ctx.get(arena.banks[bank].data[row]) for bank, row in places)


def _valid_bits(rig):
    """(source index, shift, mask) of every record in the raw trace."""
    layout = rig.trace.shape()
    result = []
    for name in ("core", "apic", "message", "bank"):
        item = layout[name]
        width = item.shape.elem_shape.size
        for number in range(item.shape.length):
            result.append((len(result), item.offset + number * width, (1 << width) - 1))
    return result
