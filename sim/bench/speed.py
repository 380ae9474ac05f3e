"""How fast the engines run one workload, all in one table and one run.

What is measured is processor time, not time on the wall: every engine here is one thread, and somebody else's load on the machine
is not the engine's. The clocks of all runs count that go on at once. The engines take turns, slice by slice, and the median of its
slices is an engine's figure, so that a noisy minute is nobody's loss. Engines of native code run without records, PySim with a sink
that looks at nothing. A build counts with everything that an edit of the hardware makes necessary: elaboration, generation, and the
compiler, whose time is remembered with what it built.
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

__all__ = ["CONTENDERS", "bench_speed"]

_WORKLOAD = Path(__file__).with_name("contended.toml")
_SLICES = 7
#: Clocks after which all engines must agree; and those of native code once more, later.
_AGREE, _AGREE_LATER = 2000, 100_000


def _plans(count):
    """What makes runs of the one workload differ."""
    return [Plan(kind=ScheduleKind.RANDOM, seed=seed, stall=8, hold_drain=8, hold_interrupt=8, hold_message=8)
            for seed in range(count)]


def _speed(seconds, chunk, advance, begin):
    """(clocks per second over about so many seconds, the chunk to go on with).

    advance : runs so many clocks; how many there were, or less if the program is over, even this one, after some millions of
        clocks: then it begins again.
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
            chunk *= 2                          # until the looks at the watch do not count
    return clocks / spent, chunk


class _Contender:
    """Runs that go on from slice to slice, or begin again with each. Loading is not counted."""

    def __init__(self, engine, prepared):
        self.build_seconds = engine.build_seconds
        self.runs = engine.lanes
        self._engine = engine
        self._prepared = prepared
        self._chunk = 1000

    def _jobs(self, plans, clocks):
        # Nothing but the end of the program, or of the slice, ends these.
        return [Job(self._prepared.contents, self._prepared.run.straps, max_clocks=clocks, plan=plan) for plan in plans]

    def arenas(self, clocks, plans):
        """For each plan, how many clocks were run, and the arena then."""
        return [(outcome.clocks, outcome.arena) for outcome in self._engine.run_many(self._jobs(plans, clocks), arena=True)]

    def begin(self):
        """Load."""

    def slice(self, seconds):
        """Clocks per second, of all runs together, over about so many seconds."""


class _Native(_Contender):
    """One run of an engine of native code."""

    def begin(self):
        self._control = self._engine.start(*self._jobs([PLAIN], ENDLESS))

    def slice(self, seconds):
        speed, self._chunk = _speed(seconds, self._chunk, lambda clocks: self._engine.advance(self._control, clocks), self.begin)
        return speed


class _Lanes(_Contender):
    """A run in each lane, all with plans of their own."""

    def begin(self):
        self._engine.start(self._jobs(_plans(self.runs), ENDLESS))

    def slice(self, seconds):
        speed, self._chunk = _speed(seconds, self._chunk, lambda clocks: clocks if self._engine.advance(clocks) else 0, self.begin)
        return speed * self.runs


class _PySim(_Contender):
    """One run in PySim, which begins again with every slice."""

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


#: Every row of the table: name -> what runs it. The place to enter a new one.
CONTENDERS = {"pysim": _PySim, "compiled": _Native, "lanes": _Lanes, "verilator": _Native}


def _make(name, config):
    """What the contender of this name runs on."""
    return LaneEngine(config) if name == "lanes" else EngineSpec(config, name).make()


def bench_speed(cores, *, engines=tuple(CONTENDERS), seconds=5.0, progress=lambda what: None, tell=lambda line: None,
                done=lambda result: None):
    """Measure each engine at each number of cores.

    seconds : of processor time for each row.  progress : told what is being done.  tell : told what is left out, and why.
    done : called after each number of cores with what is returned in the end, as far as it is there.
    Returns {"rows": [...], "checks": [...]}: a check says whether all engines had run the same clocks of so many runs to the same
    arenas.
    """
    rows, checks = [], []
    result = {"workload": _WORKLOAD.stem, "time": "cpu", "rows": rows, "checks": checks}
    for position, n_cores in enumerate(cores):
        prepared = prepare(_WORKLOAD, cores=n_cores)
        contenders = {}
        for name in engines:
            progress(f"building {name} for {n_cores} cores")
            before = cpu_seconds()
            try:
                engine = _make(name, prepared.settings.config)
            except MissingToolError as error:
                tell(f"without {name} at {n_cores} cores: {error}")
                continue
            if name == "pysim":
                engine.build_seconds = cpu_seconds() - before
            contenders[name] = CONTENDERS[name](engine, prepared)
        progress(f"comparing at {n_cores} cores")
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
                progress(f"{name} at {n_cores} cores, slice {number + 1} of {_SLICES}; about {left:.0f} s to go, without builds")
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
