"""How fast the engines run the same workload, all in one table and one session.

It measures processor time, not wall-clock time: every engine here is one thread, and other load on the machine should not count.
Runs that go on at once all count their clocks. The engines take turns, slice by slice, and an engine's figure is the median of its
slices, so that a noisy minute hurts none of them. Engines of native code run without records, PySim with a sink that ignores them.
A build includes everything that an edit of the hardware makes necessary: elaboration, generation and the compiler, whose time is
remembered with its output.
"""

import time
from pathlib import Path
from statistics import median

from rtl.schedule import ScheduleKind
from sim.engines.compiled.many import LaneEngine
from sim.engines.compiled.toolchain import cpu_seconds
from sim.engines.engine import PLAIN, Job
from sim.engines.spec import EngineSpec
from sim.errors import MissingToolError
from sim.runs.plan import Plan
from sim.runs.prepare import ENDLESS, prepare
from sim.texts import count

__all__ = ["CONTENDERS", "bench_speed"]

_WORKLOAD = Path(__file__).with_name("contended.toml")
_SLICES = 7
#: All engines must agree after this many clocks, and those of native code once more, later.
_AGREE, _AGREE_LATER = 2000, 100_000


def _plans(count):
    """What makes the runs of the one workload differ."""
    return [Plan(kind=ScheduleKind.RANDOM, seed=seed, stall=8, hold_drain=8, hold_interrupt=8, hold_message=8)
            for seed in range(count)]


def _speed(seconds, chunk, advance, begin):
    """(clocks per second over about ``seconds``, the next chunk).

    advance : runs this many clocks and returns how many there were; fewer if the program ended, as even this one does after some
        millions of clocks: then it begins again.
    """
    clocks, spent = 0, 0.0
    while spent < seconds:
        started = time.process_time()
        ran = advance(chunk)
        spent += time.process_time() - started
        clocks += ran
        if ran < chunk:
            begin()
        elif spent < seconds / 20:
            chunk *= 2                          # until reading the clock no longer matters
    return clocks / spent, chunk


class _Contender:
    """Runs that continue from slice to slice, or start over with each. Loading does not count."""

    def __init__(self, engine, prepared):
        self.build_seconds = engine.build_seconds
        self.runs = engine.lanes
        self._engine = engine
        self._prepared = prepared
        self._chunk = 1000

    def _jobs(self, plans, clocks):
        # Only the end of the program, or of the slice, ends these.
        return [Job(self._prepared.contents, self._prepared.run.straps, max_clocks=clocks, plan=plan) for plan in plans]

    def arenas(self, clocks, plans):
        """For each plan, the number of clocks run, and the arena after them."""
        return [(outcome.clocks, outcome.arena) for outcome in self._engine.run_many(self._jobs(plans, clocks), arena=True)]

    def begin(self):
        """Load."""

    def slice(self, seconds):
        """Clocks per second, of all runs together, over about ``seconds``."""


class _Native(_Contender):
    """One run of a native engine."""

    def begin(self):
        self._control = self._engine.start(*self._jobs([PLAIN], ENDLESS))

    def slice(self, seconds):
        speed, self._chunk = _speed(seconds, self._chunk, lambda clocks: self._engine.advance(self._control, clocks), self.begin)
        return speed


class _Lanes(_Contender):
    """A run in each lane, each with its own plan."""

    def begin(self):
        self._engine.start(self._jobs(_plans(self.runs), ENDLESS))

    def slice(self, seconds):
        speed, self._chunk = _speed(seconds, self._chunk, lambda clocks: clocks if self._engine.advance(clocks) else 0, self.begin)
        return speed * self.runs


class _PySim(_Contender):
    """One run in PySim, which starts over with every slice."""

    def slice(self, seconds):
        self._first, self._until = None, seconds
        self._engine.run(*self._jobs([PLAIN], ENDLESS), sink=self)
        (clock, begun), (last, now) = self._first, self._last
        return (last - clock) / (now - begun)

    def on_clock(self, clock, records, probe):
        now = time.process_time()
        self._last = clock, now
        if self._first is None:
            self._first = self._last
        return now - self._first[1] >= self._until


#: Every row of the table: name -> what runs it. Add new engines here.
CONTENDERS = {"pysim": _PySim, "compiled": _Native, "lanes": _Lanes, "verilator": _Native}


def _make(name, config):
    """What the contender of this name runs on."""
    return LaneEngine(config) if name == "lanes" else EngineSpec(config, name).make()


def bench_speed(cores, *, engines=tuple(CONTENDERS), seconds=5.0, progress=lambda what: None, tell=lambda line: None,
                done=lambda result: None):
    """Measure each engine at each number of cores.

    seconds : of processor time for each row.  progress : called with what is in progress.  tell : called with what is left out, and
    why.
    done : called after each number of cores with the result so far.
    Returns {"rows": [...], "checks": [...]}: a check says whether all engines ran the same clocks of the same number of runs to
    equal arenas.
    """
    rows, checks = [], []
    result = {"workload": _WORKLOAD.stem, "time": "cpu", "rows": rows, "checks": checks}
    for position, n_cores in enumerate(cores):
        prepared = prepare(_WORKLOAD, cores=n_cores)
        contenders = {}
        for name in engines:
            progress(f"building {name} for {count(n_cores, 'core')}")
            before = cpu_seconds()
            try:
                engine = _make(name, prepared.settings.config)
            except MissingToolError as error:
                tell(f"without {name} at {count(n_cores, 'core')}: {error}")
                continue
            if name == "pysim":
                engine.build_seconds = cpu_seconds() - before
            contenders[name] = CONTENDERS[name](engine, prepared)
        progress(f"comparing at {count(n_cores, 'core')}")
        checks.append(_check(contenders, n_cores, max(100, _AGREE // n_cores), [PLAIN]))
        native = {name: one for name, one in contenders.items() if name != "pysim"}
        checks.append(_check(native, n_cores, _AGREE_LATER // n_cores, [PLAIN]))
        if "lanes" in contenders:
            many = {name: one for name, one in contenders.items() if name in ("compiled", "lanes")}
            checks.append(_check(many, n_cores, _AGREE_LATER // n_cores, _plans(many["lanes"].runs)))
        speeds = {name: [] for name in contenders}
        for contender in contenders.values():
            contender.begin()
        for number in range(_SLICES):
            for name, contender in contenders.items():
                left = seconds * len(contenders) * (len(cores) - position - number / _SLICES)
                progress(f"{name} at {count(n_cores, 'core')}, slice {number + 1} of {_SLICES}; about {left:.0f} s to go, "
                         "without builds")
                speeds[name].append(contender.slice(seconds / _SLICES))
        rows += [{"engine": name, "cores": n_cores, "runs_at_once": contender.runs,
                  "clocks_per_second": round(median(speeds[name])), "build_seconds": round(contender.build_seconds, 2)}
                 for name, contender in contenders.items()]
        done(result)
    return result


def _check(contenders, n_cores, clocks, plans):
    outcomes = [contender.arenas(clocks, plans) for contender in contenders.values()]
    return {"cores": n_cores, "clocks": clocks, "runs": len(plans), "engines": list(contenders),
            "equal": all(outcome == outcomes[0] for outcome in outcomes)}
