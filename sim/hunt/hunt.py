"""The hunt: thousands of schedules of one scenario, judged by the Monitor; the first violation of each kind is explained.

Each schedule is drawn by a plan, and the plan by a number, so that a hunt is repeated by its first number. The runs go through the
lanes of one process per CPU. What a Monitor flags is run again with all records, and must be what an oracle sees: a finding that
only one of them has is an error of ours, and is said. A run of which a Monitor cannot remember all is judged by the oracles, and so
is every run if that is asked for.

Results are taken in the order of the numbers, whichever process is the first: so a hunt finds the same, however many there are and
however often it is interrupted.
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

#: Runs of a hunt, if nothing is said.
_RUNS = 20_000
#: A process is given as much at a time as will take it about so many seconds: long enough that the lanes which are done before the
#: last one do not count, short enough to hear of it soon. How much that is, is known only when something has been run.
_BATCH_SECONDS = 0.5
#: And never so many times more than the last time.
_GROWTH = 4
#: Lanes that an engine elsewhere may have.
_LANES = 32


@dataclass(frozen=True)
class Report:
    """engine : what ran.  runs, clocks : how many in all.  by_oracles : how many of them the oracles judged, not the Monitor.
    here, seconds : how many runs now, and in what time.  following : the number to go on with.
    violations : a Finding each, by number.  disagreements : what only one of Monitor and oracles has seen."""

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
    prepared : what is hunted.
    ignore : flags and oracles that are looked past.  oracles : judge every run by the oracles.
    out : folder for schedule files and the notebook.
    engine : of ENGINES, or None. Of the compiled one, the lanes, unless there are too many cores; any other has one run at a time
        in each process.
    processes : one per CPU if None.
    cluster : "local", or the address of a Dask scheduler, whose workers are taken instead of processes; or None.
    found : called with each Finding at once, when it is safe.
    progress : called with (runs, clocks, seconds, how many work) now and then.
    tell : called with what is to be said of the engine and the cluster.
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
        """The file by which a hunt is gone on with."""
        return self._out / f"{self.prepared.scenario.name}.hunt.sqlite"

    def run(self, *, runs=None, first=0, seconds=None, resume=False):
        """Run the numbers from ``first`` on. Returns the Report.

        runs : how many. If nothing is said: 20,000, or without end if there are ``seconds``.
        seconds : stop after so long, but not before something has been run.
        resume : go on with the hunt of the notebook, which has its own ``first``. ``runs`` counts what has been run before; if it
            is not said, what was interrupted is finished, and what was finished goes on.

        Raises InputError, too, if another process hunts with the same notebook.
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
                self._tell(f"{self.notebook}: was the notebook of another hunt (protocol, scenario or machine); it is started anew")
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
        """Who does the work."""
        if self._cluster is not None:
            from sim.workers.cluster import ClusterWorkers

            # Here single runs are explained, and no others are run.
            self._hunter = Hunter(replace(self._work, engine=replace(self._work.engine, many=False)), self.prepared, self._tell)
            return ClusterWorkers(self._cluster, partial(batch_of, self._work, house()), count=self._processes, tell=self._tell)
        self._hunter = Hunter(self._work, self.prepared, self._tell)
        # Built here, so that the processes have it.
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
        """A run that shows something: if that is new, repeat it with all records and let the oracles explain it.

        oracles : those that are violated, if the run was judged by them; else None.
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
        # What has been told is never lost: first the files.
        self._store.write(self._state)
        self._found(finding)

    def _identity(self):
        run = self._work.run
        return {"contents": run.contents, "config": asdict(run.config), "straps": asdict(run.straps)}
