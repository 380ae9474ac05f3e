"""Knock-out: a protocol without one or two of its named barriers, locks and orderings, under each memory model, in a few scenarios,
and what that violates.

Violations of the protocol itself in the same scenario do not count: neither those under the same memory model nor those under a
stronger one, since a weaker model allows all runs of a stronger one.
"""

import random
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations, product

from rtl.memory.port import MemoryModel
from rtl.schedule import ScheduleKind
from sim.engines.spec import EngineSpec
from sim.errors import InputError
from sim.files import make_folder
from sim.hunt.search import judge, watch
from sim.hunt.work import name_of
from sim.microcode.knockout import useful_under
from sim.microcode.protocols import barriers_and_locks
from sim.runs.monitor import ORACLES_OF_FLAG, OVERFLOW, proven
from sim.runs.plan import Plan
from sim.runs.prepare import prepare
from sim.runs.run import run
from sim.spelling import closest
from sim.workers.processes import side_by_side

__all__ = ["MODELS", "SCENARIOS", "Case", "Knockout", "Row", "holding"]

#: Names of the memory models, the strongest first.
MODELS = tuple(model.name.lower() for model in MemoryModel)
#: Together: every way of sending, both handlers, csds and entries that are reused at once with other functions and data, and
#: several senders at a time.
SCENARIOS = ("many", "single", "mixed", "reuse", "back-to-back", "storm", "all-call-all")
#: In xAPIC mode the write to ICR waits for all stores, so a fence before it does nothing. A deep store buffer shows more: the
#: following stores do not push out a store that is left behind in it.
_MACHINE = ("x2apic=1", "store_buffer_depth=8")
#: The protocol itself gets this many times as many schedules, to learn what it does rarely.
_TIMES = 4


def holding(number):
    """The plan of run ``number``: drains are held for a shorter or longer time, and now and then a core stalls."""
    chance = random.Random(number)
    return Plan(kind=ScheduleKind.BOUNDED, seed=chance.getrandbits(32), hold_drain=chance.choice((8, 20, 40, 64)),
                stall=chance.choice((0, 0, 2, 8)), hold_message=chance.choice((0, 0, 4)), delay=chance.choice((4, 6, 8, 9)))


@dataclass(frozen=True)
class Case:
    """What to try. removed : names.  memory : of MODELS."""

    removed: tuple[str, ...]
    memory: str
    scenario: str

    @property
    def what(self):
        return "+".join(self.removed)


@dataclass(frozen=True)
class Row:
    """The result of a Case.

    runs : schedules, besides the plain run; 0: a barrier that does nothing under this memory model.
    seen : name of a finding, as in a hunt -> in how many runs.
    violation : an oracle, in the shortest of them, or None.  run : number of its schedule; None: the plain run.
    clock, sentence : of the violation.  wave : the file that shows it, unless another scenario shows one sooner.
    """

    protocol: str
    case: Case
    runs: int
    hits: int = 0
    seen: tuple[tuple[str, int], ...] = ()
    violation: str | None = None
    run: int | None = None
    clock: int | None = None
    sentence: str | None = None
    wave: str | None = None

    def to_json(self):
        return {"protocol": self.protocol, "removed": self.case.what, "memory": self.case.memory, "scenario": self.case.scenario,
                "violation": self.violation, "runs": self.runs, "hits": self.hits, "seen": dict(self.seen), "run": self.run,
                "clock": self.clock, "sentence": self.sentence, "wave": self.wave}


class Knockout:
    """Leaves out named parts of a protocol.

    Parameters
    ----------
    protocol : as ``prepare`` takes it.
    scenarios : names, or paths; none: those of SCENARIOS that the protocol can run.
    memory : of MODELS.  only : names to leave out; none: all.  cores, assignments : as ``prepare`` takes them.

    names : what is left out, in the order of the program.  skipped : scenario -> why the protocol cannot run it.
    own : (scenario, memory model) -> the oracles that the complete protocol violates, once that is known.

    Raises InputError.
    """

    def __init__(self, protocol, *, scenarios=(), memory=MODELS, only=(), cores=None, assignments=()):
        self.memory = tuple(model for model in MODELS if model in memory)
        self.skipped = {}
        self._intact = {}             # scenario -> Prepared
        self._engines = {}
        self.own = {}
        known = barriers_and_locks(protocol)
        for name in only:
            if name not in known:
                raise InputError(f"the protocol has no barrier or lock named {name}{closest(name, known)} "
                                 f"(it has: {', '.join(known)})")
        if any(text.partition("=")[0].strip() == "memory_model" for text in assignments):
            raise InputError("--set memory_model: memory models are chosen with --memory")
        for name in scenarios or SCENARIOS:
            try:
                prepared = prepare(name, protocol=protocol, cores=cores, assignments=(*_MACHINE, *assignments))
                _under(self.memory[-1], prepared)              # a scenario for the weakest runs under all of them
                self._intact[name] = prepared
            except InputError as error:
                if scenarios:
                    raise
                self.skipped[name] = error.message
                refusal = error
        if not self._intact:
            raise refusal
        there = self._some.image.names
        self.names = [name for name in known if name in there and (not only or name in only)]
        if not self.names:
            raise InputError(f"with these settings the protocol has none of {', '.join(only or known) or 'its barriers and locks'}")

    @property
    def _some(self):
        return next(iter(self._intact.values()))

    @property
    def protocol(self):
        return self._some.image.path.stem

    @property
    def scenarios(self):
        return tuple(self._intact)

    @property
    def straps(self):
        return self._some.run.straps

    @property
    def config(self):
        return self._some.run.config

    def run(self, *, runs, judged, pairs=False, processes=1, out=None, progress=lambda *numbers: None):
        """A Row for each name, memory model and scenario; with ``pairs`` also for pairs of names that do not matter alone.

        runs : schedules of each.  judged : the oracles, which see more than the Monitor, judge this many of the runs in which the
        Monitor sees nothing.
        out : the folder for waves; None: no waves.  progress : called with (done, of how many, what) from time to time.
        """
        if out is not None:
            make_folder(out)
        judged = min(judged, runs)
        look, several = partial(self._look, runs, judged), partial(_told, processes, progress)
        self._build()
        # Stronger models always run, so that the choice of models changes no verdict.
        wanted = list(product(self._intact, MODELS[:MODELS.index(self.memory[-1]) + 1]))
        for (scenario, memory), own in several(partial(self._look_at_own, _TIMES * runs, judged), wanted).items():
            for weaker in MODELS[MODELS.index(memory):]:
                self.own[scenario, weaker] = self.own.get((scenario, weaker), frozenset()) | own
        rows = several(look, self._cases((name,) for name in self.names))
        if pairs:
            rows |= several(look, self._pairs(rows))
        if out is not None:
            rows |= several(partial(self._show, rows, out), _shortest(rows))
        return list(rows.values())

    def _build(self):
        """The engines, before the processes that use them."""
        for prepared in self._intact.values():
            key = prepared.run.config, prepared.room
            if key not in self._engines:
                self._engines[key] = EngineSpec(prepared.run.config, room=prepared.room, many=True).make()

    def _engine(self, prepared):
        return self._engines[prepared.run.config, prepared.room]

    def _cases(self, several):
        return [Case(removed, memory, scenario) for removed in several for memory in self.memory for scenario in self._intact]

    def _pairs(self, rows):
        """The Cases of two names that do not matter alone under a memory model. (Beside a barrier that does nothing, the other one
        is alone.)"""
        weighty = {(row.case.removed, row.case.memory) for row in rows.values() if row.violation}
        for memory in self.memory:
            light = [name for name in self.names if ((name,), memory) not in weighty and self._matters((name,), memory)]
            yield from (case for case in self._cases(combinations(light, 2)) if case.memory == memory)

    def _matters(self, removed, memory):
        """Whether each of these does something under a memory model."""
        return all(MemoryModel[memory.upper()] in useful_under(self._some.image, name) for name in removed)

    # --- in a process of its own ------------------------------------------------------------------------------------------

    def _prepared(self, scenario, memory):
        return _under(memory, self._intact[scenario])

    def _look_at_own(self, runs, judged, task):
        """The oracles that the protocol itself violates."""
        prepared = self._prepared(*task)
        engine, own = self._engine(prepared), set()
        for number, flags in watch(prepared, engine, _numbers(runs), plans=holding):
            said = {oracle for flag in flags for oracle in ORACLES_OF_FLAG.get(flag, ())}
            if number in _numbers(judged) or OVERFLOW in flags or not said <= own:
                hit = judge(prepared, engine, number, plans=holding)
                own |= said | {item.oracle for item in (hit.violations if hit else ())}
        return frozenset(own)

    def _look(self, runs, judged, case):
        """The Row of a Case."""
        if not self._matters(case.removed, case.memory):
            return Row(self.protocol, case, 0)
        prepared = self._prepared(case.scenario, case.memory).leaving_out(case.removed)
        engine, own = self._engine(prepared), self.own[case.scenario, case.memory]
        judgment = partial(judge, prepared, engine, plans=holding, wanted=lambda oracle: oracle not in own)
        suspects, seen = {}, Counter()
        for number, flags in watch(prepared, engine, _numbers(runs), plans=holding):
            new = {flag: clock for flag, clock in proven(flags).items() if own.isdisjoint(ORACLES_OF_FLAG[flag])}
            seen.update(new.keys())
            if new or OVERFLOW in flags:
                suspects[number] = min(new.values(), default=flags.get(OVERFLOW))
        hits = len(suspects)
        shortest = next(filter(None, map(judgment, sorted(suspects, key=suspects.get))), None)
        if shortest is None:
            found = [hit for hit in map(judgment, _numbers(judged)) if hit is not None]
            hits, seen = len(found), Counter(name for hit in found for name in {name_of(item.oracle) for item in hit.violations})
            shortest = min(found, key=lambda hit: hit.first.clock, default=None)
        row = Row(self.protocol, case, runs)
        if shortest is None:
            return row
        first = shortest.first
        return replace(row, hits=hits, seen=tuple(seen.most_common()), violation=first.oracle, run=shortest.number,
                       clock=first.clock, sentence=first.sentence)

    def _show(self, rows, out, case):
        """The Row of a Case, with its waves, and the schedule that repeats it."""
        row, prepared = rows[case], self._prepared(case.scenario, case.memory).leaving_out(case.removed)
        engine = self._engine(prepared)
        hit = judge(prepared, engine, row.run, wanted=row.violation.__eq__, plans=holding)
        name = ".".join((self.protocol, case.what, case.memory))
        return replace(row, wave=str(run(hit.repeatable, engine=engine, out=out, name=name).files["waves"]))


def _under(memory, prepared):
    """The same under a memory model, by name. Raises InputError if the machine has no such model."""
    return prepared.with_straps(memory_model=MemoryModel[memory.upper()].value)


def _numbers(runs):
    """The plain run, and ``runs`` schedules."""
    return (None, *range(runs))


def _told(processes, progress, work, tasks):
    """Task -> its result, in the order of the tasks. progress : called after each task."""
    tasks = list(tasks)
    results = dict.fromkeys(tasks)
    for done, (task, result) in enumerate(side_by_side(processes, work, tasks), 1):
        results[task] = result
        progress(done, len(tasks), task)
    return results


def _shortest(rows):
    """The Cases that show a violation soonest: one for each thing left out and each memory model."""
    best = {}
    for case, row in rows.items():
        key = case.removed, case.memory
        if row.violation and (key not in best or row.clock < rows[best[key]].clock):
            best[key] = case
    return best.values()
