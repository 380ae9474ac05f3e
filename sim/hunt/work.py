"""The work of a hunt, described so that any process can do it, and done there: a row of runs, judged by the Monitor."""

import hashlib
import json
import random
import threading
import time
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import rtl
import sim
from rtl.schedule import ScheduleKind
from sim.engines.spec import EngineSpec
from sim.errors import InputError, MissingToolError
from sim.runs.description import Run
from sim.runs.monitor import ORACLES_OF_FLAG, OVERFLOW, proven
from sim.runs.plan import Plan
from sim.runs.prepare import load
from sim.runs.run import run
from sim.runs.schedule import run_text

__all__ = ["FLAG_OF_ORACLE", "Batch", "Hunter", "Work", "batch_of", "house", "name_of", "plan_of"]

#: Oracle -> its flag, if it has one.
FLAG_OF_ORACLE = {oracle: flag for flag, oracles in ORACLES_OF_FLAG.items() for oracle in oracles}


def plan_of(number):
    """The plan of a run of a hunt. Of every four, one holds at random, one by priorities, and two by bounded delays; the rates go
    from rare to frequent."""
    chance = random.Random(number)
    kind = (ScheduleKind.RANDOM, ScheduleKind.BOUNDED, ScheduleKind.PCT, ScheduleKind.BOUNDED)[number % 4]
    rates = {name: chance.choice((0, 0, 2, 8, 24, 64)) for name in ("stall", "hold_drain", "hold_interrupt", "hold_message")}
    return Plan(kind=kind, seed=chance.getrandbits(32), **rates,
                delay=chance.randint(2, 9) if kind is ScheduleKind.BOUNDED else 0,
                changes=chance.randint(1, 6) if kind is ScheduleKind.PCT else 0,
                horizon=chance.randint(9, 12) if kind is ScheduleKind.PCT else 0)


def name_of(oracle):
    """The name under which a finding of an oracle is kept."""
    return FLAG_OF_ORACLE.get(oracle, oracle)


@dataclass(frozen=True)
class Work:
    """What to hunt. Picklable.

    run : what all runs have in common.  engine : made for many runs.
    ignore : flags and oracles to ignore.  oracles : let the oracles judge every run.
    """

    run: Run
    engine: EngineSpec
    ignore: frozenset[str]
    oracles: bool


@dataclass(frozen=True)
class Batch:
    """The results of the runs ``first`` to before ``first + size``.

    engine : what ran them.  by_oracles : how many the oracles judged.  seconds : without making the engine.
    hits : (number, {flag: clock}, violated oracles or None) of each run that shows something no earlier run of the batch has shown.
    """

    engine: str
    first: int
    size: int
    clocks: int
    by_oracles: int
    seconds: float
    hits: list


class Hunter:
    """Does a Work. prepared : its Run, if it is loaded already."""

    def __init__(self, work, prepared=None, tell=lambda line: None):
        self.work = work
        self.prepared = prepared or load(work.run)
        self._tell = tell

    @cached_property
    def engine(self):
        return self.work.engine.make(self._tell)

    def judged(self, number, **options):
        """The Result of a run with all records. options : those of ``sim.runs.run.run``."""
        return run(self.prepared.under(plan=plan_of(number)), engine=self.engine, **options)

    def batch(self, first, size):
        """The Batch of these runs."""
        engine, ignore = self.engine, self.work.ignore
        started = time.monotonic()
        clocks, by_oracles, hits, seen = 0, 0, [], set()
        outcomes = engine.run_many(self.prepared.jobs(map(plan_of, range(first, first + size))))
        for number, outcome in enumerate(outcomes, first):
            clocks += outcome.clocks
            flags, violated = {flag: clock for flag, clock in outcome.flags.items() if flag not in ignore}, None
            if self.work.oracles or OVERFLOW in flags:
                by_oracles += 1
                violated = tuple({item.oracle: None for item in self.judged(number).violations
                                  if not {item.oracle, FLAG_OF_ORACLE.get(item.oracle)} & ignore})
                flags = proven(flags)
            shown = {*flags, *map(name_of, violated or ())}
            if not seen.issuperset(shown):
                seen.update(shown)
                hits.append((number, flags, violated))
        return Batch(engine.name, first, size, clocks, by_oracles, time.monotonic() - started, hits)


# --- in a process that was not forked from the hunting one ------------------------------------------------------------

#: Hunters of this thread, which does not share its engine: text of the Work -> Hunter.
_mine = threading.local()
_making = threading.Lock()


@cache
def house():
    """What identifies this crosscall: a digest of its sources."""
    digest = hashlib.sha256()
    for package in (rtl, sim):
        folder = Path(package.__file__).parent
        for path in sorted(folder.rglob("*.py")):
            digest.update(f"\0{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def batch_of(work, of, task):
    """The Batch of a task, (first, size), of a Work. of : the ``house()`` of the sender."""
    if of != house():
        raise MissingToolError("a worker of the cluster has another version of crosscall; install the same one there")
    key = json.dumps([run_text(work.run), repr(work.engine), sorted(work.ignore), work.oracles])
    if getattr(_mine, "key", None) != key:
        with _making:
            try:
                _mine.hunter = Hunter(work)
            except InputError as error:
                raise MissingToolError(f"a worker of the cluster cannot prepare the run: {error}") from None
            _ = _mine.hunter.engine
        _mine.key = key
    return _mine.hunter.batch(*task)
