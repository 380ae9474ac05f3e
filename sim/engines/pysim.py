"""The reference engine: Amaranth's own simulator."""

from amaranth.sim import Simulator

from rtl.machine import Machine

from .engine import Ending, Outcome

__all__ = ["PySimEngine"]

#: Length of a clock in seconds. Nothing depends on it.
_PERIOD = 1e-8


class PySimEngine:
    """A Machine in PySim. Elaborated once; every ``run`` resets it and loads its contents through the back door."""

    name = "pysim"

    def __init__(self, config):
        self.config = config
        self.machine = Machine(config)
        self._simulator = Simulator(self.machine)
        self._simulator.add_clock(_PERIOD)
        self._simulator.add_testbench(self._testbench)
        self._run = None

    def run(self, contents, straps, *, max_clocks, sink, probe=False):
        if self._run is not None:
            self._simulator.reset()
        self._run = contents, straps, max_clocks, sink, probe
        self._simulator.run()
        return self._outcome

    def _load(self, ctx, contents):
        for tile in self.machine.tiles:
            for row, word in enumerate(contents.microcode):
                ctx.set(tile.microcode[row], word)
        arena = self.machine.shared.arena
        for address, word in contents.arena.items():
            bank, row = arena.locate(address)
            ctx.set(arena.banks[bank].data[row], word)

    async def _testbench(self, ctx):
        contents, straps, max_clocks, sink, probe = self._run
        machine, config = self.machine, self.config
        self._load(ctx, contents)
        ctx.set(machine.straps, straps.as_const())
        await ctx.tick()                    # word 0 reaches the output of the microcode store
        ctx.set(machine.run, 1)

        valid_of = _valid_bits(machine)
        signals = [machine.quiet, machine.trapped, machine.trace.as_value()]
        if probe:
            signals.append(machine.probe.as_value())
        ending = Ending.LIMIT
        clock = 0
        raw_probe = None
        async for sampled in ctx.tick().sample(*signals):
            quiet, trapped, trace = sampled[2:5]
            if probe:
                raw_probe = sampled[5]
            records = []
            if trace:
                for index, shift, mask in valid_of:
                    raw = trace >> shift & mask
                    if raw & 1:
                        records.append((index, raw))
            stop = sink.on_clock(clock, records, raw_probe) if records or probe else False
            clock += 1
            if stop:
                ending = Ending.STOPPED
            elif trapped:
                ending = Ending.TRAP
            elif quiet:
                ending = Ending.QUIET
            elif clock < max_clocks:
                continue
            break
        words = []
        for address in range(config.arena_depth):
            bank, row = machine.shared.arena.locate(address)
            words.append(ctx.get(machine.shared.arena.banks[bank].data[row]))
        self._outcome = Outcome(clock, ending, tuple(words))


def _valid_bits(machine):
    """(source index, shift, mask) of every record in the raw trace."""
    layout = machine.trace.shape()
    result = []
    for name in ("core", "apic", "message", "bank"):
        item = layout[name]
        width = item.shape.elem_shape.size
        for number in range(item.shape.length):
            result.append((len(result), item.offset + number * width, (1 << width) - 1))
    return result


