"""The hunt: thousands of schedules of one scenario, judged by the Monitor; the first violation of each kind is explained.

Each schedule is drawn by a plan, and the plan by a number, so that a hunt is repeated by its first number. The runs go through the
lanes of one process per CPU. What a Monitor flags is run again with all records, and must be what an oracle sees: a finding that
only one of them has is an error of ours, and is said.
"""

import json
import os
import random
import signal
import time
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

from rtl.schedule import ScheduleKind
from sim.engines.compiled import CompiledEngine
from sim.engines.compiled.many import Job, LaneEngine
from sim.errors import InputError
from sim.monitor import ORACLE_OF_FLAG, clocks_of_flags
from sim.run import patience, prepare, run
from sim.schedules import Plan, RunRecipe, contents_digest, write_recipe

__all__ = ["Finding", "Hunt", "Report", "plan_of"]

#: Runs that a process is given at a time.
_BATCH = 2048
#: A run is given up after so many clocks; one that is stuck has been flagged long before.
_LIMIT = 100_000


def plan_of(number):
    """The plan of a run of a hunt. Every fourth holds at random, every fourth by priorities, the others by bounded delays, with
    rates from seldom to often."""
    chance = random.Random(number)
    kind = (ScheduleKind.RANDOM, ScheduleKind.BOUNDED, ScheduleKind.PCT, ScheduleKind.BOUNDED)[number % 4]
    rates = {name: chance.choice((0, 0, 2, 8, 24, 64)) for name in ("stall", "hold_drain", "hold_interrupt", "hold_message")}
    return Plan(kind=kind, seed=chance.getrandbits(32), **rates,
                delay=chance.randint(2, 9) if kind is ScheduleKind.BOUNDED else 0,
                changes=chance.randint(1, 6) if kind is ScheduleKind.PCT else 0,
                horizon=chance.randint(9, 12) if kind is ScheduleKind.PCT else 0)


@dataclass(frozen=True)
class Finding:
    """The first run that shows a violation of one kind.

    flag : of the Monitor.  oracle, sentence : of the Python oracle that explains it.  seed : number of the run.
    clock : of the Monitor's first hit.  file : its schedule.
    """

    flag: str
    oracle: str
    seed: int
    clock: int
    sentence: str
    file: str


@dataclass(frozen=True)
class Report:
    """runs, clocks : how many in all.  here, seconds : how many runs now, and in what time.
    findings : in the order of their discovery.
    disagreements : what only one of Monitor and oracles has seen.  following : the number to go on with."""

    runs: int
    clocks: int
    here: int
    seconds: float
    findings: tuple[Finding, ...]
    disagreements: tuple[str, ...]
    following: int

    def to_json(self):
        """The command's ``--json``."""
        parts = asdict(self)
        return {**parts, "violations": parts.pop("findings")}


class Hunt:
    """One hunt.

    Parameters
    ----------
    arguments : what ``sim.run.prepare`` takes, by name.
    out : folder for schedule files and the notebook.  processes : one per CPU if None.
    tell : called with each Finding at once.  progress : called with (runs, clocks, seconds) now and then.
    """

    def __init__(self, arguments, *, out, processes=None, tell=lambda finding: None, progress=lambda *numbers: None):
        self._arguments = arguments
        self._prepared = prepare(**arguments)
        self._out = Path(out)
        self._processes = processes or len(os.sched_getaffinity(0))
        self._tell = tell
        self._progress = progress
        self._engine = None
        self._findings = {}           # flag -> Finding
        self._disagreements = []
        self._runs = self._clocks = 0

    @property
    def notebook(self):
        """The file by which a hunt is gone on with."""
        return self._out / f"{self._prepared.scenario.name}.hunt.json"

    def run(self, *, runs, first=0, seconds=None, resume=False):
        """Run the numbers from ``first`` on, ``runs`` of them, or until ``seconds`` are over. Returns the Report."""
        self._make_out()
        if resume:
            first = self._resume()
        started, before = time.monotonic(), self._runs
        following, end = first, first + runs
        done = {}                     # first number of a finished batch -> its length
        reached = first
        # Built once here, so that the processes find it.
        _lanes(self._prepared.settings.config)
        context = get_context("fork")
        pool = ProcessPoolExecutor(self._processes, mp_context=context, initializer=_begin,
                                   initargs=(self._prepared.settings, self._prepared.contents, patience(self._prepared.scenario)))
        pending = set()
        try:
            while pending or following < end:
                late = seconds is not None and time.monotonic() - started >= seconds
                if late and not pending:
                    break
                while not late and following < end and len(pending) < 2 * self._processes:
                    size = min(_BATCH, end - following)
                    pending.add(pool.submit(_batch, following, size))
                    following += size
                ready, pending = wait(pending, return_when=FIRST_COMPLETED)
                for batch in sorted((item.result() for item in ready), key=lambda item: item[0]):
                    start, size, clocks, hits = batch
                    self._runs += size
                    self._clocks += clocks
                    done[start] = size
                    for number, raw in hits:
                        self._look(number, raw)
                    while reached in done:
                        reached += done.pop(reached)
                    self._note(reached)
                self._progress(self._runs, self._clocks, time.monotonic() - started)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            self._note(reached)
        findings = tuple(item for item in self._findings.values() if item is not None)
        return Report(self._runs, self._clocks, self._runs - before, time.monotonic() - started, findings,
                      tuple(self._disagreements), reached)

    def _look(self, number, raw):
        """A flagged run: if it is the first of a kind, repeat it with all records and let the oracles explain it."""
        flags = clocks_of_flags(raw)
        news = [flag for flag in flags if flag not in self._findings]
        if not news:
            return
        plan = plan_of(number)
        if self._engine is None:
            self._engine = CompiledEngine(self._prepared.settings.config)
        result = run(self._prepared, engine=self._engine, max_clocks=_LIMIT, plan=plan, record=True)
        explained = {}
        for violation in result.violations:
            explained.setdefault(violation.oracle, violation)
        for flag in news:
            oracle = ORACLE_OF_FLAG.get(flag)
            if oracle is None:
                self._disagreements.append(f"run {number}: the monitor ran out of room ({flag}), so it can say nothing of this run")
                self._findings[flag] = None
                continue
            if oracle not in explained:
                self._disagreements.append(f"run {number}: the monitor says {flag} at clock {flags[flag]}, but {oracle} holds")
                continue
            violation = explained[oracle]
            path = self._out / f"{self._prepared.scenario.name}.{flag}.schedule"
            finding = Finding(flag, oracle, number, flags[flag], violation.sentence, str(path))
            self._write(path, plan, result, finding)
            self._findings[flag] = finding
            self._tell(finding)

    def _write(self, path, plan, result, finding):
        settings, prepared = self._prepared.settings, self._prepared
        write_recipe(path, RunRecipe(
            scenario=self._arguments["name"], seed=prepared.scenario.seed, protocol=self._arguments.get("protocol")
            or prepared.scenario.protocol, defines=settings.defines, without=prepared.without,
            config=settings.config, straps=settings.straps, contents=contents_digest(prepared.contents), plan=plan,
            schedule=result.schedule, violation=(finding.flag, finding.clock)))

    # --- the notebook: what is known so far, so that a hunt that is interrupted goes on ---------------------------------

    def _make_out(self):
        try:
            self._out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot be made: {error.strerror}", file=self._out) from None

    def _identity(self):
        settings = self._prepared.settings
        return contents_digest(self._prepared.contents), asdict(settings.config), asdict(settings.straps)

    def _note(self, reached):
        contents, config, straps = self._identity()
        temporary = self.notebook.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps({
            "contents": contents, "config": config, "straps": straps, "following": reached, "runs": self._runs,
            "clocks": self._clocks, "disagreements": self._disagreements,
            "findings": [asdict(item) for item in self._findings.values() if item is not None],
        }, indent=1))
        os.replace(temporary, self.notebook)

    def _resume(self):
        """Take up the notebook; the number to go on with."""
        try:
            parts = json.loads(self.notebook.read_text())
            identity = parts["contents"], parts["config"], parts["straps"]
            findings = [Finding(**item) for item in parts["findings"]]
            following = int(parts["following"])
            self._runs, self._clocks = int(parts["runs"]), int(parts["clocks"])
            self._disagreements = list(parts["disagreements"])
        except FileNotFoundError:
            raise InputError("there is no hunt to go on with", file=self.notebook) from None
        except (OSError, ValueError, KeyError, TypeError):
            raise InputError("is no notebook of a hunt", file=self.notebook) from None
        if identity != self._identity():
            raise InputError("is the notebook of another hunt: its protocol, scenario or machine is another", file=self.notebook)
        for finding in findings:
            self._findings[finding.flag] = finding
            self._tell(finding)
        return following


def _lanes(config):
    return LaneEngine(config)


# --- in the processes -------------------------------------------------------------------------------------------------

_work = {}


def _begin(settings, contents, patience):
    # Ctrl-C is for the process that waits for all of us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _work.update(settings=settings, contents=contents, patience=patience, engine=_lanes(settings.config))


def _batch(first, size):
    """(first, size, clocks, [(number, raw flags) of the runs that were flagged])."""
    jobs = (Job({"plan": plan_of(number)}) for number in range(first, first + size))
    clocks, hits = 0, []
    for outcome in _work["engine"].run_many(_work["contents"], _work["settings"].straps, jobs, max_clocks=_LIMIT,
                                               patience=_work["patience"]):
        clocks += outcome.clocks
        if clocks_of_flags(outcome.outputs["flags"]):
            hits.append((first + outcome.job, outcome.outputs["flags"]))
    return first, size, clocks, hits
