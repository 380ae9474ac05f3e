"""The hunt: thousands of schedules of one scenario, judged by the Monitor; the first violation of each kind is explained.

Plans draw the schedules, and numbers draw the plans, so the first number repeats a hunt. The runs go through the lanes of one
process per CPU. A run that the Monitor flags is repeated with all records, and an oracle must confirm it: if only one of the two
sees a finding, that is a defect of crosscall, and the hunt reports it. The oracles judge a run if the Monitor cannot remember all
of it, and every run on request.

Results are taken in the order of the numbers, whichever process finishes first. So a hunt finds the same with any number of
processes and however often it is interrupted.
"""

import os
import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from math import inf
from pathlib import Path

from sim.engines.spec import EngineSpec
from sim.files import locked, make_folder
from sim.workers.processes import Workers

from .explanation import explain, ignored, keep
from .store import Finding, State, Store
from .work import Hunter, Work, batch_of, house, name_of

__all__ = ["Hunt", "Report"]

    #: The default number of runs.
_RUNS = 20_000
    #: Seconds of work that a process gets at a time: long enough that lanes which finish early do not matter, short enough for
    #: timely news. How many runs that is, is known only once something has run.
_BATCH_SECONDS = 0.5
    #: The next piece of work is at most this many times the last.
_GROWTH = 4
    #: Lanes that an engine on another machine may have.
_LANES = 32


@dataclass(frozen=True)
class Report:
    """engine : what ran.  runs, clocks : totals.  by_oracles : runs that the oracles judged instead of the Monitor.
    here, seconds : runs of this session, and the time they took.  following : the number to continue with.
    violations : one Finding each, by number.  disagreements : what only the Monitor or only the oracles have seen."""

    engine: str
    runs: int
    clocks: int
    by_oracles: int
    here: int
    seconds: float
    following: int
    violations: tuple[Finding, ...]
    disagreements: tuple[str, ...]

    def to_json(self):
        """The command's ``--json``."""
        return asdict(self)


class Hunt:
    """One hunt.

    Parameters
    ----------
    prepared : what to hunt.
    ignore : flags and oracles to ignore.  oracles : let the oracles judge every run.
    out : folder for schedule files and the notebook.
    engine : one of ENGINES, or None. The compiled engine runs in lanes, unless there are too many cores; any other does one run at
        a time in each process.
    processes : None: one per CPU.
    cluster : "local", or the address of a Dask scheduler whose workers replace the processes; or None.
    found : called with each Finding as soon as it is safe on disk.
    progress : called with (runs, clocks, seconds, number of workers) from time to time.
    tell : called with remarks about the engine and the cluster.
    """

    def __init__(self, prepared, *, ignore=(), oracles=False, out, engine=None, processes=None, cluster=None,
                 found=lambda finding: None, progress=lambda *numbers: None, tell=lambda line: None):
        self.prepared = prepared
        self._work = Work(prepared.recorded(), EngineSpec(prepared.run.config, engine, prepared.room, many=True), ignored(ignore),
                          oracles)
        self._out = Path(out)
        self._processes = processes or len(os.sched_getaffinity(0))
        self._cluster = cluster
        self._found = found
        self._progress = progress
        self._tell = tell
        self._store = Store(self.notebook, self._identity())
        self._state = State()
        self._engine = None           # the name of what ran
        self._lanes = 1 if engine == "pysim" else _LANES

    @property
    def notebook(self):
        """The file from which a hunt is resumed."""
        return self._out / f"{self.prepared.scenario.name}.hunt.sqlite"

    def run(self, *, runs=None, first=0, seconds=None, resume=False):
        """Run the numbers from ``first`` on. Returns the Report.

        runs : how many; None: 20,000, or without limit if ``seconds`` is given.
        seconds : stop after this time, but not before something has run.
        resume : continue the hunt of the notebook, which has its own ``first``. ``runs`` includes the runs done before; None:
            finish an interrupted hunt, extend a finished one.
        Also raises InputError if another process hunts with the same notebook.
        """
        make_folder(self._out)
        with locked(self.notebook, "another hunt"), self._store:
            return self._run(runs, first, seconds, resume)

    def _run(self, runs, first, seconds, resume):
        if resume:
            self._state = state = self._store.read()
            for finding in state.findings.values():
                self._found(finding)
        else:
            self._state = state = State(first, first)
            if self._store.is_of_another():
                self._tell(f"{self.notebook}: was the notebook of another hunt (protocol, scenario or machine); starting anew")
        if runs is not None:
            state.end = state.first + runs
        elif seconds is not None:
            state.end = None
        elif not resume or state.end is not None and state.end <= state.following:
            state.end = state.following + _RUNS
        with self._workers() as workers:
            self._store.write(state)
            before, started = state.following, time.monotonic()
            self._drive(workers, before, None if seconds is None else started + seconds, started)
        return Report(self._engine or self._hunter.engine.name, state.following - state.first, state.clocks, state.by_oracles,
                      state.following - before, time.monotonic() - started, state.following, tuple(state.findings.values()),
                      tuple(state.disagreements.values()))

    def _workers(self):
        """The workers of this hunt."""
        if self._cluster is not None:
            from sim.workers.cluster import ClusterWorkers

            # This process explains single runs, and runs no others.
            self._hunter = Hunter(replace(self._work, engine=replace(self._work.engine, many=False)), self.prepared, self._tell)
            return ClusterWorkers(self._cluster, partial(batch_of, self._work, house()), count=self._processes, tell=self._tell)
        self._hunter = Hunter(self._work, self.prepared, self._tell)
        # Built here, so that the forked processes have it.
        self._engine, self._lanes = self._hunter.engine.name, self._hunter.engine.lanes
        return Workers(self._processes, lambda task: self._hunter.batch(*task))

    def _drive(self, workers, given, until, started):
        state, before, size, waiting = self._state, given, self._lanes, {}
        end = inf if state.end is None else state.end
        while True:
            while workers.hungry and given < end:
                batch = int(min(size, max(self._lanes, (end - given) // workers.count), end - given))
                workers.give((given, batch))
                given += batch
            if not workers.busy or until is not None and time.monotonic() >= until and state.following > before:
                return
            for result in workers.results(until if state.following > before else None):
                waiting[result.first] = result
                size = max(self._lanes, int(result.size * min(_GROWTH, _BATCH_SECONDS / result.seconds)))
            while state.following in waiting:
                result = waiting.pop(state.following)
                self._engine = result.engine
                for number, flags, oracles in result.hits:
                    self._look(number, flags, oracles)
                state.following += result.size
                state.clocks += result.clocks
                state.by_oracles += result.by_oracles
                self._store.write(state)
            self._progress(state.following - state.first, state.clocks, time.monotonic() - started, workers.count)

    def _look(self, number, flags, oracles):
        """A run that shows something: if it is new, repeat it with all records and let the oracles explain it.

        oracles : those violated, if the oracles judged the run; else None.
        """
        names = flags if oracles is None else map(name_of, oracles)
        if all(name in self._state.findings for name in names):
            return
        result = self._hunter.judged(number, record=True)
        explanation = explain(flags, result, ignore=self._work.ignore, by_oracles=oracles is not None)
        for seen in explanation.seen:
            self._keep(number, seen, result)
        for name, sentence in explanation.disagreements.items():
            self._state.disagreements.setdefault(name, f"run {number}: {sentence}")

    def _keep(self, number, seen, result):
        flag = seen[0]
        if flag in self._state.findings:
            return
        self._state.findings[flag] = finding = keep(self._out, self.prepared, number, seen, result)
        # A reported finding must never be lost, so the files come first.
        self._store.write(self._state)
        self._found(finding)

    def _identity(self):
        run = self._work.run
        return {"contents": run.contents, "config": asdict(run.config), "straps": asdict(run.straps)}
