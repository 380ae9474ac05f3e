"""The hunt: thousands of schedules of one scenario, judged by the Monitor; the first violation of each kind is explained.

Each schedule is drawn by a plan, and the plan by a number, so that a hunt is repeated by its first number. The runs go through the
lanes of one process per CPU. What a Monitor flags is run again with all records, and must be what an oracle sees: a finding that
only one of them has is an error of ours, and is said. A run of which a Monitor cannot remember all is judged by the oracles, and so
is every run if that is asked for.

Results are taken in the order of the numbers, whichever process is the first: so a hunt finds the same, however many there are and
however often it is interrupted.
"""

import json
import os
import random
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path

from rtl.schedule import ScheduleKind
from sim.engines import make_engine
from sim.engines.compiled.many import Job, LaneEngine
from sim.errors import InputError, MissingToolError
from sim.files import locked, make_folder, write_whole
from sim.monitor import ORACLES_OF_FLAG, OVERFLOW, PARTIAL, clocks_of_flags
from sim.names import closest
from sim.profile import profile_of, room_of
from sim.run import patience_of, prepare, run
from sim.schedules import Plan, RunRecipe, contents_digest, write_recipe
from sim.texts import read_json, read_text
from sim.watchdog import JUDGES
from sim.workers import Workers

__all__ = ["Finding", "Hunt", "Report", "plan_of"]

#: Runs of a hunt, if nothing is said.
_RUNS = 20_000
#: A run is given up after so many clocks; one that is stuck has been flagged long before.
_LIMIT = 100_000
#: A process is given as much at a time as will take it about so many seconds: long enough that the lanes which are done before the
#: last one do not count, short enough to hear of it soon. How much that is, is known only when something has been run.
_BATCH_SECONDS = 0.5
#: And never so many times more than the last time.
_GROWTH = 4


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

    oracle, sentence : of the Python oracle that explains it.
    flag, clock : of the Monitor, and of its first hit. If no flag is for it: the oracle's name and clock.
    seed : number of the run.  schedule : the file that repeats it.
    """

    oracle: str
    flag: str
    seed: int
    clock: int
    sentence: str
    schedule: str


def _is_number(value):
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_finding(value):
    """Whether this is a Finding as plain data."""
    return isinstance(value, dict) and value.keys() == Finding.__annotations__.keys() and all(
        isinstance(value[name], kind) and not isinstance(value[name], bool) for name, kind in Finding.__annotations__.items())


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
    arguments : what ``sim.run.prepare`` takes, by name.
    ignore : flags and oracles that are looked past.  oracles : judge every run by the oracles.
    out : folder for schedule files and the notebook.
    engine : as ``make_engine`` takes it. Of the compiled one, the lanes, unless there are too many cores; any other has one run at
        a time in each process.
    processes : one per CPU if None.
    found : called with each Finding at once, when it is safe.  progress : called with (runs, clocks, seconds) now and then.
    tell : called with what is to be said of the engine.

    Members
    -------
    prepared : what is hunted.
    """

    def __init__(self, arguments, *, ignore=(), oracles=False, out, engine=None, processes=None, found=lambda finding: None,
                 progress=lambda *numbers: None, tell=lambda line: None):
        self._arguments = arguments
        self.prepared = prepare(**arguments)
        self._ignore = _known(ignore)
        self._oracles = oracles
        self._out = Path(out)
        self._chosen = engine
        self._processes = processes or len(os.sched_getaffinity(0))
        self._found = found
        self._progress = progress
        self._tell = tell
        self._witness = None          # the engine that gives all records
        self._findings = {}           # flag, or oracle that has none -> Finding
        self._by_oracles = 0
        self._disagreements = {}      # flag or oracle -> sentence
        self._first = self._following = self._clocks = 0
        self._end = inf

    @property
    def notebook(self):
        """The file by which a hunt is gone on with."""
        return self._out / f"{self.prepared.scenario.name}.hunt.json"

    def run(self, *, runs=None, first=0, seconds=None, resume=False):
        """Run the numbers from ``first`` on. Returns the Report.

        runs : how many. If nothing is said: 20,000, or without end if there are ``seconds``.
        seconds : stop after so long, but not before something has been run.
        resume : go on with the hunt of the notebook, which has its own ``first``. ``runs`` counts what has been run before; if it
            is not said, what was interrupted is finished, and what was finished goes on.

        Raises InputError, too, if another process hunts with the same notebook.
        """
        make_folder(self._out)
        with locked(self.notebook, "another hunt"):
            return self._run(runs, first, seconds, resume)

    def _run(self, runs, first, seconds, resume):
        if resume:
            self._resume()
        else:
            self._first = self._following = first
            self._tell_of_another()
        if runs is not None:
            self._end = self._first + runs
        elif seconds is not None:
            self._end = inf
        elif not resume or self._end <= self._following:
            self._end = self._following + _RUNS
        # Built here, so that the processes have it.
        engine = self._engine()
        self._note()
        before, started = self._following, time.monotonic()
        until = None if seconds is None else started + seconds
        witness = self._witness = make_engine(self._chosen, self.prepared.settings.config)
        with Workers(self._processes, lambda batch: _run_batch(engine, witness, self.prepared, self._ignore, self._oracles,
                                                               *batch)) as workers:
            self._drive(workers, engine, before, until, started)
        return Report(engine.name, self._following - self._first, self._clocks, self._by_oracles, self._following - before,
                      time.monotonic() - started, self._following, tuple(self._findings.values()),
                      tuple(self._disagreements.values()))

    def _drive(self, workers, engine, before, until, started):
        lanes = getattr(engine, "lanes", 1)
        given, size, waiting = before, lanes, {}
        while True:
            while workers.hungry and given < self._end:
                batch = min(size, max(lanes, (self._end - given) // self._processes), self._end - given)
                workers.give((given, batch))
                given += batch
            if not workers.busy or until is not None and time.monotonic() >= until and self._following > before:
                return
            for result in workers.results(until if self._following > before else None):
                waiting[result.first] = result
                size = max(lanes, int(result.size * min(_GROWTH, _BATCH_SECONDS / result.seconds)))
            while self._following in waiting:
                result = waiting.pop(self._following)
                for number, flags, oracles in result.hits:
                    self._look(number, flags, oracles)
                self._following += result.size
                self._clocks += result.clocks
                self._by_oracles += result.by_oracles
                self._note()
            self._progress(self._following - self._first, self._clocks, time.monotonic() - started)

    def _engine(self):
        config, room = self.prepared.settings.config, room_of(self.prepared.scenario)
        if self._chosen in (None, "compiled") and config.n_cores <= LaneEngine.SENSIBLE:
            try:
                return LaneEngine(config, room=room)
            except MissingToolError:
                if self._chosen is not None:
                    raise
        return make_engine(self._chosen, config, room=room, tell=self._tell)

    def _look(self, number, flags, oracles):
        """A run that shows something: if that is new, repeat it with all records and let the oracles explain it.

        oracles : those that are violated, if the run was judged by them; else None.
        """
        names = flags if oracles is None else map(_name_of, oracles)
        if all(name in self._findings for name in names):
            return
        plan = plan_of(number)
        result = _judged(self._witness, self.prepared, plan, record=True)
        explained = {}
        for violation in result.violations:
            explained.setdefault(violation.oracle, violation)
        for flag, clock in flags.items():
            seen = next((explained[oracle] for oracle in ORACLES_OF_FLAG[flag] if oracle in explained), None)
            if seen is not None:
                self._keep(flag, number, clock, seen, plan, result)
            # The oracles have not seen what comes after the end of a run that is stuck.
            elif clock <= result.clocks:
                self._disagree(flag, number, f"the monitor says {flag} at clock {clock}, but "
                               f"{' and '.join(ORACLES_OF_FLAG[flag])} {'hold' if len(ORACLES_OF_FLAG[flag]) > 1 else 'holds'}")
        for oracle, violation in explained.items():
            flag = _FLAG_OF_ORACLE.get(oracle)
            if {oracle, flag} & self._ignore:
                continue
            if flag is None or oracles is not None or flag in PARTIAL and flag not in flags:
                self._keep(flag or oracle, number, violation.clock, violation, plan, result)
            elif flag not in flags:
                self._disagree(flag, number,
                               f"{oracle} is violated at clock {violation.clock}, but the monitor does not say {flag}")

    def _disagree(self, flag, number, sentence):
        self._disagreements.setdefault(flag, f"run {number}: {sentence}")

    def _keep(self, flag, number, clock, violation, plan, result):
        if flag in self._findings:
            return
        path = self._out / f"{self.prepared.scenario.name}.{flag}.schedule"
        finding = Finding(violation.oracle, flag, number, clock, violation.sentence, str(path))
        self._write(path, plan, result, finding)
        self._findings[flag] = finding
        # What has been told is never lost: first the files.
        self._note()
        self._found(finding)

    def _write(self, path, plan, result, finding):
        settings, prepared = self.prepared.settings, self.prepared
        protocol = self._arguments.get("protocol") or prepared.scenario.protocol
        files = {}
        if str(self._arguments["name"]).endswith(".toml"):
            files["scenario"] = prepared.scenario.document.text
        if str(protocol).endswith(".uasm"):
            files["protocol"] = read_text(protocol)
        write_recipe(path, RunRecipe(
            scenario=self._arguments["name"], seed=prepared.scenario.seed, protocol=protocol, files=files,
            defines=settings.defines, without=prepared.without,
            config=settings.config, straps=settings.straps, contents=contents_digest(prepared.contents), plan=plan,
            schedule=result.schedule, violation=(finding.flag, finding.clock)))

    # --- the notebook: what is known so far, so that a hunt that is interrupted goes on ---------------------------------

    def _identity(self):
        settings = self.prepared.settings
        return {"contents": contents_digest(self.prepared.contents), "config": asdict(settings.config),
                "straps": asdict(settings.straps)}

    def _note(self):
        write_whole(self.notebook, json.dumps({
            **self._identity(), "first": self._first, "following": self._following,
            "end": None if self._end == inf else self._end, "clocks": self._clocks, "by_oracles": self._by_oracles,
            "disagreements": self._disagreements,
            "findings": [asdict(item) for item in self._findings.values()],
        }, indent=1) + "\n")

    def _tell_of_another(self):
        """Say so if this begins anew what was the notebook of another hunt."""
        with suppress(OSError, ValueError, TypeError):
            parts = json.loads(self.notebook.read_text(encoding="utf-8"))
            if any(parts.get(name) != value for name, value in self._identity().items()):
                self._tell(f"{self.notebook}: was of another hunt, of another protocol, scenario or machine; it is begun anew")

    #: What is in a notebook, and what it must be.
    _KEYS = {
        "contents": lambda value: isinstance(value, str),
        "config": lambda value: isinstance(value, dict),
        "straps": lambda value: isinstance(value, dict),
        "first": _is_number, "following": _is_number, "clocks": _is_number, "by_oracles": _is_number,
        "end": lambda value: value is None or _is_number(value),
        "disagreements": lambda value: isinstance(value, dict) and all(isinstance(item, str) for item in value.values()),
        "findings": lambda value: isinstance(value, list) and all(map(_is_finding, value)),
    }

    def _line_of(self, key):
        """The line of a key in the notebook, as it is written here."""
        lines = self.notebook.read_text(encoding="utf-8").splitlines()
        return next((number for number, line in enumerate(lines, 1) if line.startswith(f' "{key}":')), 1)

    def _resume(self):
        """Take up the notebook."""
        if not self.notebook.exists():
            raise InputError("there is no hunt to go on with", file=self.notebook)
        parts = read_json(self.notebook, cut_off="is no notebook of a hunt: it is cut off")
        if not isinstance(parts, dict):
            raise InputError("is no notebook of a hunt", file=self.notebook, line=1)
        for name, right in self._KEYS.items():
            if name not in parts or not right(parts[name]):
                raise InputError(f"is no notebook of a hunt: {name} is " + ("damaged" if name in parts else "missing"),
                                 file=self.notebook, line=self._line_of(name))
        identity = {name: parts[name] for name in self._identity()}
        findings = [Finding(**item) for item in parts["findings"]]
        self._first, self._following, self._clocks, self._by_oracles = (
            parts[name] for name in ("first", "following", "clocks", "by_oracles"))
        self._end = inf if parts["end"] is None else parts["end"]
        self._disagreements = parts["disagreements"]
        if identity != self._identity():
            raise InputError("is the notebook of another hunt: its protocol, scenario or machine is another", file=self.notebook)
        for finding in findings:
            self._findings[finding.flag] = finding
            self._found(finding)


def _known(names):
    """The set of these flags and oracles. Raises InputError if there is no such thing."""
    known = (*ORACLES_OF_FLAG, *JUDGES)
    for name in names:
        if name not in known:
            raise InputError(f"--ignore {name}: there is no such flag or oracle{closest(name, known)} "
                             f"(there are: {', '.join(known)})")
    # A flag and its oracles are one finding.
    return frozenset(names) | {_FLAG_OF_ORACLE.get(name, name) for name in names} | {
        oracle for name in names for oracle in ORACLES_OF_FLAG.get(name, ())}


#: Oracle -> its flag, if it has one.
_FLAG_OF_ORACLE = {oracle: flag for flag, oracles in ORACLES_OF_FLAG.items() for oracle in oracles}


def _name_of(oracle):
    """Under which name a finding of an oracle is kept."""
    return _FLAG_OF_ORACLE.get(oracle, oracle)


def _judged(engine, prepared, plan, *, record=False):
    """The Result of a run with all records."""
    return run(prepared, engine=engine, max_clocks=_LIMIT, plan=plan, record=record)


# --- in the processes -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Result:
    """Of the runs ``first`` to before ``first + size``. hits : (number, {flag: clock}, violated oracles or None) of those that show
    what none before it in the batch has.  by_oracles : how many the oracles judged."""

    first: int
    size: int
    clocks: int
    by_oracles: int
    seconds: float
    hits: list


def _run_batch(engine, witness, prepared, ignore, oracles, first, size):
    started = time.monotonic()
    clocks, by_oracles, hits, seen = 0, 0, [], set()
    for number, (ran, flags) in enumerate(_outcomes(engine, prepared, map(plan_of, range(first, first + size))), first):
        clocks += ran
        flags, violated = {flag: clock for flag, clock in flags.items() if flag not in ignore}, None
        if oracles or OVERFLOW in flags:
            by_oracles += 1
            result = _judged(witness, prepared, plan_of(number))
            violated = tuple({item.oracle: None for item in result.violations
                              if not {item.oracle, _FLAG_OF_ORACLE.get(item.oracle)} & ignore})
            full = flags.pop(OVERFLOW, inf)
            flags = {flag: clock for flag, clock in flags.items() if clock < full}
        shown = {*flags, *map(_name_of, violated or ())}
        if not seen.issuperset(shown):
            seen.update(shown)
            hits.append((number, flags, violated))
    return _Result(first, size, clocks, by_oracles, time.monotonic() - started, hits)


def _outcomes(engine, prepared, plans):
    """(clocks, {flag: clock}) of each run."""
    contents, straps = prepared.contents, prepared.settings.straps
    profile = profile_of(prepared.settings.config, prepared.image, straps=straps, arena=contents.arena,
                         visits=prepared.scenario.visits)
    inputs = ({"plan": plan, "patience": patience_of(prepared.scenario, plan)} for plan in plans)
    if isinstance(engine, LaneEngine):
        for outcome in engine.run_many(contents, straps, map(Job, inputs), profile=profile, max_clocks=_LIMIT):
            yield outcome.clocks, clocks_of_flags(outcome.outputs["flags"])
    else:
        for item in inputs:
            outcome = engine.run(contents, straps, max_clocks=_LIMIT, sink=None, profile=profile, **item)
            yield outcome.clocks, outcome.flags
