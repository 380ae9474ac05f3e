"""Runs, hunts and repetitions from Python: the same runs as those of the command, by the same way (``sim.runs``, ``sim.hunt``)."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from rtl.config import MachineConfig
from sim.diagnosis import causes
from sim.engines import check_engine
from sim.engines.spec import EngineSpec
from sim.errors import InputError, MissingToolError
from sim.events import Namer
from sim.files import make_folder
from sim.latency import latency_stack
from sim.runs.description import OfLitmus
from sim.runs.faults import fault as fields_of_fault
from sim.runs.holds import read_holds, with_holds
from sim.runs.prepare import ENDLESS, Prepared, load, prepare
from sim.runs.run import run as run_prepared
from sim.runs.schedule import read_run
from sim.runs.settings import memory_assignment
from sim.scenarios.reader import shipped_scenarios
from sim.scenarios.text import scenario_text
from sim.texts import count, shown
from sim.timeline import Timeline

from ._plain import Call, Event, Finding, Hunt, Rows, Span, Violation, Visit

__all__ = [
    "Call", "Event", "Finding", "Hunt", "InputError", "MissingToolError", "Result", "Rows", "Scenario", "Span", "Violation",
    "Visit", "hunt", "replay", "run", "scenarios",
]

_log = logging.getLogger("crosscall")

#: Option -> the smallest and the largest value.
_LIMITS = {
    "cores": (1, MachineConfig.MAX_CORES), "seed": (0, ENDLESS), "max_clocks": (1, ENDLESS), "patience": (1, ENDLESS),
    "visits": (1, ENDLESS), "runs": (1, ENDLESS), "first": (0, ENDLESS), "processes": (1, 128),
}
#: Option that is a list -> of what.
_LISTS = {"without": "names", "holds": "holds"}


class Scenario:
    """A scenario that is built in Python.

    Parameters
    ----------
    name : for files and messages.
    tables : the keys of a scenario file (docs/scenarios.md), with dicts for tables and lists for arrays.

    Members
    -------
    text : the scenario file. Raises InputError for what no such file can say; whether it is a scenario is checked when it is run.

    >>> pair = Scenario("pair", cores=2, program=[
    ...     {"cores": "all", "commands": [{"call": "single", "target": "next", "func": "count", "wait": True}]}])
    >>> run(pair).ok
    True
    """

    def __init__(self, name: str, /, **tables: Any):
        if not name or Path(name).name != name:
            raise InputError(f"the name of a scenario must be that of a file, without a folder, not {shown(name)}")
        self.name = name
        self.text = scenario_text(tables, file=f"{name}.toml")

    def __repr__(self) -> str:
        return f"<Scenario {self.name}>"


class Result:
    """What came out of a run. Made by ``run`` and ``replay``.

    Members
    -------
    scenario, clocks, engine : what ran, for how long, on which engine.
    ok : all calls completed and nothing is violated.  as_expected : just that is violated that the scenario expects.
    verdict : the verdict in one sentence.  violations : Rows of Violation, by clock.  unfinished : a sentence for each call that is
    not over.
    calls : Rows of Call.  visits : of Visit: what each core did for each call.  spans : of Span: what each core was busy with.
    events : of Event: all records of the machine.
    files : what was written: kind -> path.
    """

    def __init__(self, result: Any, timeline: Timeline, records: list[tuple[Any, str | None]]):
        self._result, self._timeline, self._records = result, timeline, records

    @cached_property
    def _report(self) -> dict[str, Any]:
        return self._result.to_json()

    def to_json(self) -> dict[str, Any]:
        """The plain data that ``crosscall run --json`` prints."""
        return self._result.to_json()

    @property
    def scenario(self) -> str:
        return self._report["scenario"]

    @property
    def clocks(self) -> int:
        return self._result.clocks

    @property
    def engine(self) -> str:
        return self._result.engine

    @property
    def ok(self) -> bool:
        return self._result.ok

    @property
    def as_expected(self) -> bool:
        return self._result.as_expected

    @property
    def verdict(self) -> str:
        from sim.report.table import verdict_text
        return verdict_text(self._report)

    @property
    def violations(self) -> Rows[Violation]:
        return Rows(Violation, (Violation(**item) for item in self._report["violations"]))

    @property
    def unfinished(self) -> tuple[str, ...]:
        return self._result.unfinished

    @cached_property
    def calls(self) -> Rows[Call]:
        return Rows(Call, map(_call, self._report["calls"]))

    @cached_property
    def visits(self) -> Rows[Visit]:
        return Rows(Visit, (Visit(call["id"], int(core), **stages) for call in self._report["calls"]
                            for core, stages in call["per_target"].items()))

    @cached_property
    def spans(self) -> Rows[Span]:
        return Rows(Span, (Span(**item._asdict() | {"stage": item.stage.text}) for item in self._timeline.spans))

    @cached_property
    def events(self) -> Rows[Event]:
        namer = Namer(self._result.prepared.image)
        return Rows(Event, (Event(**namer.to_json(record, None) | {"call": call}) for record, call in self._records))

    @property
    def files(self) -> dict[str, Path]:
        return dict(self._result.files)

    def write_page(self, path: str | Path) -> Path:
        """Write the page of the run, one HTML file for a browser. Returns its path. Raises InputError; MissingToolError if Plotly
        is not installed."""
        from sim.report.run_page import write_run_page
        return self._write(path, lambda file: write_run_page(file, self._report, self._timeline))

    def write_trace(self, path: str | Path) -> Path:
        """Write the trace of the run for Perfetto. Returns its path. Raises InputError; MissingToolError if ``perfetto`` is not
        installed."""
        from sim.waves.perfetto import write_perfetto
        return self._write(path, lambda file: write_perfetto(file, self.scenario, self._timeline, self._result.calls))

    def write_fst(self, path: str | Path) -> Path:
        """Write the waves of the run as FST; the run has written them into a folder. Returns its path. Raises InputError;
        MissingToolError if ``pylibfst`` is not installed."""
        from sim.waves.fst import write_fst
        if "waves" not in self._result.files:
            raise InputError("the run has written no waves: pass it a folder as out")
        return self._write(path, lambda file: write_fst(self._result.files["waves"], file))

    @staticmethod
    def _write(path: str | Path, write: Callable[[Path], None]) -> Path:
        path = Path(path)
        make_folder(path.parent)
        write(path)
        return path

    def __repr__(self) -> str:
        return f"<Result of {self.scenario}, {count(self.clocks, 'clock')}: {self.verdict}>"


def _call(report: dict[str, Any]) -> Call:
    plain = {name: value for name, value in report.items() if name != "per_target"}
    return Call(**plain | {"targets": tuple(report["targets"]), "entries": tuple(report["entries"])},
                stack=latency_stack(report) or {})


class _Watch:
    """What a run is watched by: its Timeline, and a list of its records with the ids of their calls."""

    def __init__(self, prepared):
        self.timeline = Timeline(prepared.run.config, prepared.image)
        self.records = []
        self.on_clock = self.timeline.on_clock

    def add(self, record, tracker):
        self.timeline.add(record, tracker)
        self.records.append((record, tracker.call and tracker.call.id))


def scenarios() -> list[str]:
    """The names of the shipped scenarios."""
    return shipped_scenarios()


def run(scenario: str | Path | Scenario = "demo", *, protocol: str | Path | None = None, cores: int | None = None,
        preset: str | None = None, settings: Mapping[str, int | str] | None = None, memory: str | None = None,
        without: Iterable[str] = (), seed: int = 0, max_clocks: int | None = None, patience: int | None = None,
        visits: int | None = None, fault: str | None = None, holds: Iterable[str] = (), engine: str | None = None,
        window: range | None = None, out: str | Path | None = None, waves: bool = True) -> Result:
    """Run a scenario and judge the run, as ``crosscall run`` does.

    Parameters
    ----------
    scenario : the name of a shipped one, the path of a ``.toml`` file, or a Scenario.
    protocol, cores, preset : instead of the scenario's own.
    settings : fields of the machine, straps, and ``define.NAME``: ``--set`` of the command.
    memory : "sc", "tso" or "pso".  without : named barriers and locks to leave out.  seed : of the scenario's random numbers.
    max_clocks, patience, visits : limits.  fault : what goes wrong with one interrupt ("drop:0:2").
    holds : which cores stand still where, until another one has come somewhere ("1 at FUNC_ENTRY until 0 at RETURN").
    engine : "compiled" (the default if there is a C compiler), "pysim" or "verilator".
    window : the clocks in the waves; None: what is worth it.
    out : a folder for ``events.jsonl`` and, if ``waves``, the waves and their GTKWave save file; None: write nothing.

    Raises InputError, which says what is wrong and where, before anything is run or written; MissingToolError.

    >>> result = run("early-return")
    >>> [violation.oracle for violation in result.violations]
    ['O1']
    >>> result.calls[0].latency == sum(result.calls[0].stack.values())
    True
    """
    _check(max_clocks=max_clocks, window=window, holds=holds)
    prepared = _prepare(scenario, protocol=protocol, cores=cores, preset=preset, settings=settings, memory=memory, without=without,
                        seed=seed, patience=patience, visits=visits).under(window=window)
    if max_clocks is not None:
        prepared = prepared.under(max_clocks=max_clocks)
    if fault is not None:
        faulty = fields_of_fault(fault, prepared.run.config.n_cores)
        prepared = prepared.under(plan=replace(prepared.run.plan, **faulty))
    return _run(with_holds(prepared, read_holds(prepared, holds), _log.info), engine, out=out, waves=waves)


def replay(schedule: str | Path, *, patience: int | None = None, visits: int | None = None, engine: str | None = None,
           window: range | None = None, out: str | Path | None = None, waves: bool = True) -> Result:
    """Repeat a run exactly, clock for clock, as ``crosscall replay`` does.

    schedule : the path of a schedule file of a scenario.  The others are as in ``run``; files have the name of the schedule.
    Raises InputError, also if the violation that the file names does not occur.
    """
    _check(patience=patience, visits=visits, window=window)
    path = Path(schedule)
    limits = {"patience": patience, "visits": visits, "window": window}
    this = replace(read_run(path), **{name: value for name, value in limits.items() if value is not None})
    if isinstance(this.subject, OfLitmus):
        raise InputError("is the schedule of a litmus test, which `crosscall replay` repeats", file=path)
    prepared = load(this, file=path, tell=_log.warning)
    result = _run(prepared, engine, out=out, waves=waves, name=path.stem, room=prepared.room)
    this.check_violation(result._result.seen, file=path)
    return result


def hunt(scenario: str | Path | Scenario, *, protocol: str | Path | None = None, cores: int | None = None,
         preset: str | None = None, settings: Mapping[str, int | str] | None = None, memory: str | None = None,
         without: Iterable[str] = (), runs: int | None = None, seconds: float | None = None, first: int = 0,
         patience: int | None = None, visits: int | None = None, ignore: Iterable[str] = (), oracles: bool = False,
         engine: str | None = None, processes: int | None = None, resume: bool = False, out: str | Path = "waves",
         found: Callable[[Finding], None] = lambda finding: None) -> Hunt:
    """Run a scenario under thousands of schedules, as ``crosscall hunt`` does, and explain the first violation of each kind.

    Parameters
    ----------
    runs : how many schedules; 20,000 if there is neither this nor ``seconds``.  seconds : stop after so long.
    first : the number of the first schedule.  ignore : flags and oracles to look past.
    oracles : judge every run by the oracles as well, which is slow.  processes : how many; None: one per CPU.
    resume : continue the hunt recorded in ``out``.  out : folder for the notebook of the hunt and the schedules of its findings.
    found : called with each Finding at once.
    The others are as in ``run``.

    Raises InputError or MissingToolError.
    """
    from sim.hunt.hunt import Hunt as Hunting

    _check(runs=runs, first=first, processes=processes)
    check_engine(engine)
    prepared = _prepare(scenario, protocol=protocol, cores=cores, preset=preset, settings=settings, memory=memory, without=without,
                        patience=patience, visits=visits)
    this = Hunting(prepared, ignore=tuple(ignore), oracles=oracles, out=out, engine=engine, processes=processes, tell=_log.warning,
                   found=lambda finding: found(Finding(**vars(finding))))
    report = this.run(runs=runs, first=first, seconds=seconds, resume=resume).to_json()
    return Hunt(findings=Rows(Finding, (Finding(**item) for item in report.pop("violations"))), **report)


def _prepare(scenario: str | Path | Scenario, *, protocol: str | Path | None, settings: Mapping[str, int | str] | None,
             memory: str | None, without: Iterable[str], **options: Any) -> Prepared:
    """What ``prepare`` makes of it, and of a Scenario, which is as a file that does not exist."""
    _check(**{name: value for name, value in options.items() if name != "preset"}, without=without)
    assignments = [f"{name}={value}" for name, value in (settings or {}).items()]
    if memory is not None:
        assignments.append(memory_assignment(memory))
    name, text = (f"{scenario.name}.toml", scenario.text) if isinstance(scenario, Scenario) else (str(scenario), None)
    prepared = prepare(name, text=text, protocol=None if protocol is None else str(protocol), assignments=assignments,
                       without=tuple(without), **options)
    for remark in prepared.scenario.remarks:
        _log.warning("%s", remark)
    return prepared


def _check(**options: Any) -> None:
    """Refuse what the command line cannot say."""
    for name, value in options.items():
        if value is None:
            continue
        if name == "window":
            if not isinstance(value, range) or not value or value.step != 1 or value.start < 0:
                raise InputError(f"window must be a range of clocks that is not empty, not {shown(value)}")
        elif name in _LISTS:
            if isinstance(value, str) or not isinstance(value, Iterable):
                raise InputError(f"{name} must be a list of {_LISTS[name]}, not {shown(value)}")
        else:
            low, high = _LIMITS[name]
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise InputError(f"{name} must be a whole number from {low} to {high}, not {shown(value)}")


def _run(prepared: Prepared, engine: str | None, *, out: str | Path | None, waves: bool, name: str | None = None,
         **spec: Any) -> Result:
    check_engine(engine)
    machine = EngineSpec(prepared.run.config, engine, **spec).make(_log.warning)
    watch = _Watch(prepared)
    result = run_prepared(prepared, engine=machine, out=None if out is None else Path(out), name=name, waves=waves, watch=watch)
    watch.timeline.finish(result.clocks)
    return Result(causes(result, machine, run_prepared), watch.timeline, watch.records)
