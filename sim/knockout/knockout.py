"""Each named barrier and lock of a protocol is left out in turn, and scenarios are run under many schedules that hold drains: what
is violated then, and not with everything in place, is what it was there for.
"""

import random
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations
from pathlib import Path

from rtl.memory.port import MemoryModel
from rtl.schedule import ScheduleKind
from sim.engines.spec import EngineSpec
from sim.errors import InputError
from sim.files import make_folder
from sim.hunt.search import search
from sim.microcode.knockout import idle_barriers
from sim.microcode.protocols import barriers_and_locks, find_protocol
from sim.runs.monitor import ORACLES_OF_FLAG
from sim.runs.plan import Plan
from sim.runs.prepare import prepare
from sim.runs.run import run
from sim.spelling import closest
from sim.workers.processes import Workers

__all__ = ["MEMORY", "SCENARIOS", "Knockout", "Row", "holding"]

#: Between them: both handlers, every way of sending, csds that are used again at once, and several senders at a time.
SCENARIOS = ("many", "single", "storm", "reuse")
MEMORY = tuple(model.name.lower() for model in MemoryModel)
#: If you pass nothing. In x2APIC mode nothing but a barrier orders stores and the interrupt; and a deep buffer shows more: a store
#: that is left behind in it is not pushed out by those that follow.
_SETTINGS = {"x2apic": "1", "store_buffer_depth": "8"}
#: So many of the runs are judged by the oracles if the Monitor finds nothing: of words of the memory they see more.
_JUDGED = 50
#: Runs of a baseline that an engine is given at a time.
_ROW = 64


def holding(number):
    """The plan of run ``number``: drains are held for longer or shorter, and now and then a core stalls."""
    chance = random.Random(number)
    return Plan(kind=ScheduleKind.BOUNDED, seed=chance.getrandbits(32), hold_drain=chance.choice((8, 20, 40, 64)),
                stall=chance.choice((0, 0, 2, 8)), hold_message=chance.choice((0, 0, 4)), delay=chance.choice((4, 6, 8, 9)))


@dataclass(frozen=True)
class Row:
    """What came of a protocol without ``removed``, in one scenario under one memory model.

    runs : schedules that were tried; none, if what is left out does nothing under the model.
    violation : the oracle that is violated and is not with everything in place, or None.
    run : the number of the schedule; None: the plain one.  clock, sentence : of the violation.  clocks : of the whole run.
    wave : the file that shows it: of the shortest run that anything has shown without ``removed``.
    """

    protocol: str
    removed: tuple[str, ...]
    memory: str
    scenario: str
    runs: int
    violation: str | None = None
    run: int | None = None
    clock: int | None = None
    sentence: str | None = None
    clocks: int | None = None
    wave: str | None = None

    def to_json(self):
        return {**vars(self), "removed": list(self.removed)}


class Knockout:
    """All that is tried of one protocol.

    Parameters
    ----------
    protocol : as ``prepare`` takes it.
    scenarios : names; none: those of SCENARIOS that the protocol can run.
    memory : memory models.  runs : schedules of each, at most.
    only : names; none: all that the protocol has.
    assignments : of ``--set``.  cores : instead of the scenarios' own.
    out : the folder for waves, or None.  processes : how many work.
    progress : called with (how many are done, of how many) now and then.

    Members
    -------
    own : the oracles that the protocol violates with everything in place, in any of the scenarios: they do not count.
    skipped : (scenario, why) of those that it cannot run.

    Raises InputError.
    """

    def __init__(self, protocol, *, scenarios=(), only=(), memory=MEMORY, runs=200, assignments=(), cores=None, out=None,
                 processes=1, progress=lambda done, of: None):
        self._protocol, self._memory, self._runs, self._cores = protocol, tuple(memory), runs, cores
        given = {item.partition("=")[0] for item in assignments}
        self._assignments = [*(f"{name}={value}" for name, value in _SETTINGS.items() if name not in given), *assignments]
        self._out, self._processes, self._progress = out, processes, progress
        find_protocol(protocol)
        known = barriers_and_locks(protocol)
        for name in only:
            if name not in known:
                raise InputError(f"the protocol has no barrier or lock named {name}{closest(name, known)} "
                                 f"(it has: {', '.join(known)})")
        self._only = only or known
        self.skipped = []
        self._scenarios = tuple(self._those_that_run(scenarios))
        self.own = frozenset()

    @property
    def name(self):
        return find_protocol(self._protocol).name.removesuffix(".uasm")

    def _those_that_run(self, scenarios):
        for name in scenarios or SCENARIOS:
            try:
                self._prepared((), self._memory[0], name)
            except InputError as error:
                if scenarios:
                    raise
                self.skipped.append((name, str(error)))
            else:
                yield name

    @property
    def names(self):
        """The barriers and locks that are there, in the order of the program."""
        there = self._prepared((), self._memory[0], self._scenarios[0]).image.names
        return [name for name in self._only if name in there]

    def run(self, *, pairs=False):
        """The Rows of each barrier and lock, and, with ``pairs``, of each two of which neither carries weight alone: they may cover
        for each other."""
        cells = [(memory, scenario) for memory in self._memory for scenario in self._scenarios]
        if not cells:
            raise InputError(f"the protocol runs none of the scenarios {', '.join(SCENARIOS)}: name one that it does")
        self.own = frozenset().union(*self._side_by_side(self._baseline, cells))
        rows = self._all([(name,) for name in self.names])
        if pairs:
            idle = [name for name in self.names if not any(row.violation for row in rows if row.removed == (name,))]
            rows += self._all(list(combinations(idle, 2)))
        return self._with_waves(rows)

    def _all(self, removed):
        return self._side_by_side(self._row, [(names, memory, scenario) for names in removed for memory in self._memory
                                              for scenario in self._scenarios])

    def _side_by_side(self, work, tasks):
        """What ``work`` gives for each task, in their order."""
        results = [None] * len(tasks)
        numbers, done = iter(range(len(tasks))), 0
        with Workers(max(1, min(self._processes, len(tasks))), lambda number: (number, work(*tasks[number]))) as workers:
            number = next(numbers, None)
            while number is not None or workers.busy:
                while number is not None and workers.hungry:
                    workers.give(number)
                    number = next(numbers, None)
                for place, result in workers.results():
                    results[place] = result
                    done += 1
                    self._progress(done, len(tasks))
        return results

    def _prepared(self, removed, memory, scenario):
        return prepare(scenario, protocol=self._protocol, cores=self._cores, without=removed,
                       assignments=[*self._assignments, f"memory_model={MEMORY.index(memory)}"])

    def _baseline(self, memory, scenario):
        """The oracles that are violated with everything in place."""
        prepared = self._prepared((), memory, scenario)
        engine = _engine(prepared.run.config, prepared.room)
        found = {item.oracle for item in run(prepared, engine=engine).violations}
        for first in range(0, self._runs, _ROW):
            plans = map(holding, range(first, min(first + _ROW, self._runs)))
            for outcome in engine.run_many(prepared.jobs(plans)):
                found.update(oracle for flag in outcome.flags for oracle in ORACLES_OF_FLAG.get(flag, ()))
        for hit in search(prepared, engine, runs=min(self._runs, _JUDGED), plans=holding, by_oracles=True,
                          wanted=lambda oracle: oracle not in found):
            found.update(item.oracle for item in hit.violations)
        return found

    def _hit(self, removed, memory, scenario, runs):
        prepared = self._prepared(removed, memory, scenario)
        engine = _engine(prepared.run.config, prepared.room)
        for judged, number in ((False, runs), (True, min(runs, _JUDGED))):
            hit = next(search(prepared, engine, runs=number, plans=holding, by_oracles=judged,
                              wanted=lambda oracle: oracle not in self.own), None)
            if hit is not None:
                return engine, hit
        return engine, None

    def _row(self, removed, memory, scenario):
        image = self._prepared((), memory, scenario).image
        row = Row(self.name, removed, memory, scenario, 0)
        if len(idle_barriers(image, removed, MemoryModel(MEMORY.index(memory)))) == len(removed):
            return row
        _, hit = self._hit(removed, memory, scenario, self._runs)
        if hit is None:
            return replace(row, runs=self._runs)
        return replace(row, runs=0 if hit.number is None else hit.number + 1, violation=hit.first.oracle, run=hit.number,
                       clock=hit.first.clock, sentence=hit.first.sentence, clocks=hit.result.clocks)

    def _with_waves(self, rows):
        """Write the waves of the shortest run for each of ``removed``."""
        if self._out is None:
            return rows
        make_folder(self._out)
        shortest = {}
        for row in rows:
            best = shortest.get(row.removed)
            if row.violation and (best is None or row.clocks < best.clocks):
                shortest[row.removed] = row
        waves = dict(zip(shortest, self._side_by_side(self._wave, [(row,) for row in shortest.values()]) if shortest else (),
                         strict=True))
        return [replace(row, wave=waves[row.removed]) if row is shortest.get(row.removed) else row for row in rows]

    def _wave(self, row):
        engine, hit = self._hit(row.removed, row.memory, row.scenario, row.runs)
        again = hit.result.prepared.under(schedule=hit.result.schedule, violation=(hit.first.oracle, hit.first.clock))
        name = f"{self.name}.without.{'.'.join(row.removed)}"
        return str(run(again, engine=engine, out=Path(self._out), name=name).files["waves"])


@cache
def _engine(config, room):
    return EngineSpec(config, room=room, many=True).make()
