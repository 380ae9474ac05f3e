"""A Machine in the simulator with all its inputs at hand, and how its core's records are held against the model's."""

from dataclasses import dataclass
from functools import cache

from rtl.config import MachineConfig, Straps
from rtl.events import ApicEvent
from rtl.machine import Machine
from sim.engines.engine import Ending
from sim.engines.pysim import simulator
from sim.records import ApicRecord, CommitRecord, CoreRecord, Sources

from .core_model import CoreModel

__all__ = ["FIRST_WORD", "NO_WAITING", "MachineRunner", "Recorder", "Run", "follow", "runner"]

#: The clock in which core 0 executes its first word.
FIRST_WORD = 3

#: Nothing takes longer than it must.
NO_WAITING = Straps(fabric_latency=0, arena_latency=0, interrupt_entry=0, interrupt_return=0)


@dataclass(frozen=True)
class Run:
    """What a run was seen to do.

    raw : (clock, source index, raw record), in order.  records : the same, typed.
    status : of each clock, by core.  arena : its words at the end.
    """

    clocks: int
    ending: Ending
    raw: list
    records: list
    status: list
    arena: list

    def of(self, kind, core=0):
        """The CoreRecords or ApicRecords of one core."""
        return [record for record in self.records if type(record) is kind and record.core == core]

    def said(self, event, core=0):
        return [record for record in self.of(CoreRecord, core) if record.event is event]

    @property
    def commits(self):
        return [record for record in self.records if type(record) is CommitRecord]


class Recorder:
    """A Sink that keeps all records."""

    def __init__(self, config):
        self.sources = Sources(config)
        self.raw = []

    def on_clock(self, clock, records, probe):
        self.raw += [(clock, index, raw) for index, raw in records]

    @property
    def records(self):
        return [self.sources.decode(*item) for item in self.raw]


class MachineRunner:
    """Elaborated once; every run starts from reset."""

    def __init__(self, config):
        self.config = config
        self.machine = Machine(config)
        self._sources = Sources(config)
        self._simulator = None

    def run(self, contents, straps=NO_WAITING, *, schedule=None, max_clocks=2000, load_port=False, before=0, through_traps=False):
        """Run to the end.

        schedule : a function of the clock, gives the ``schedule`` port's fields in that clock.
        load_port : load through the port instead of the back door.  before : more clocks with ``run`` low.
        through_traps : go on when a core has trapped.
        """
        self._arguments = contents, straps, schedule, max_clocks, load_port, before, through_traps
        if self._simulator is None:
            self._simulator = simulator(self.machine)
            self._simulator.add_clock(1e-6)
            self._simulator.add_testbench(self._testbench)
        else:
            self._simulator.reset()
        self._simulator.run()
        return self._result

    async def _testbench(self, ctx):
        contents, straps, schedule, max_clocks, load_port, before, through_traps = self._arguments
        machine, config = self.machine, self.config
        banks = machine.shared.arena.banks
        ctx.set(machine.straps, straps.as_const())
        if load_port:
            load = machine.load
            ctx.set(load.valid, 1)
            for microcode, items in (1, enumerate(contents.microcode)), (0, contents.arena.items()):
                for address, word in items:
                    ctx.set(load.microcode, microcode)
                    ctx.set(load.address, address)
                    ctx.set(load.data, word)
                    await ctx.tick()
            ctx.set(load.valid, 0)
        else:
            for address, word in contents.arena.items():
                ctx.set(banks[address % config.n_banks].data[address // config.n_banks], word)
            for tile in machine.tiles:
                for row, word in enumerate(contents.microcode):
                    ctx.set(tile.microcode[row], word)
        await ctx.tick().repeat(1 + before)
        ctx.set(machine.run, 1)

        raw, status = [], []
        ending = Ending.LIMIT
        for clock in range(max_clocks):
            if schedule is not None:
                ctx.set(machine.schedule, schedule(clock))
            _, _, trace, states, quiet, trapped = await ctx.tick().sample(
                machine.trace.as_value(), machine.status, machine.quiet, machine.trapped)
            if trace:
                raw += [(clock, index, word) for index, word in self._split(trace) if word & 1]
            status.append(states)
            if trapped and not through_traps:
                ending = Ending.TRAP
            elif quiet:
                ending = Ending.QUIET
            else:
                continue
            break
        arena = [ctx.get(banks[address % config.n_banks].data[address // config.n_banks]) for address in range(config.arena_depth)]
        self._result = Run(clock + 1, ending, raw, [self._sources.decode(*item) for item in raw], status, arena)

    def _split(self, trace):
        """(source index, raw record): the trace holds the sources' records one behind the other."""
        for index, kind in enumerate(self._sources.kinds):
            width = self._sources.layouts[kind].size
            yield index, trace & (1 << width) - 1
            trace >>= width


@cache
def runner(n_cores=1, **fields):
    """One MachineRunner for all tests that want this machine."""
    return MachineRunner(MachineConfig(**{"n_cores": n_cores, "arena_depth": 128, "stack_depth": 16, "n_vectors": 256, **fields}))


def follow(config, contents, straps, run):
    """Run the model along a run of one core: interrupts are accepted when the run says so, and all else is to be the same.

    run : has ``clocks``, ``ending``, ``records`` and ``arena``. Gives the model.
    """
    said = [record for record in run.records if type(record) is CoreRecord]
    accepted = [record for record in run.records if type(record) is ApicRecord and record.event is ApicEvent.ACCEPT]
    model = CoreModel(config, contents, straps, start=FIRST_WORD)
    expected = []
    while model.clock < run.clocks and not model.trapped:
        if accepted and (model.halted or accepted[0].clock <= model.clock):
            record = model.interrupt(accepted[0].clock, accepted[0].vector)
            del accepted[0]
        elif model.halted:
            break
        else:
            record = model.step()
        if record is not None and record.clock < run.clocks:
            expected.append(record)
    for record, other in zip(said, expected, strict=False):
        assert record == other
    assert len(said) == len(expected)
    assert not accepted
    if run.ending is not Ending.LIMIT:
        assert run.ending is (Ending.TRAP if model.trapped else Ending.QUIET)
        assert list(run.arena) == model.memory
    return model
