"""Executes one run: the machine with its observers, then the files. ``prepare`` has already refused everything that is wrong."""

from contextlib import ExitStack
from dataclasses import asdict, dataclass

from sim.calls import CallTracker
from sim.diagnosis import Stall, stalls
from sim.engines.engine import Ending
from sim.engines.pysim import PySimEngine
from sim.events import EventLog
from sim.files import make_folder
from sim.oracles import Jury, make_measures, make_oracles
from sim.records import Digest, Sources
from sim.watchdog import Watchdog
from sim.waves.feed import STAGES, WaveFeed
from sim.waves.gtkw import write_gtkw
from sim.waves.surfer import write_surfer
from sim.waves.writer import WaveWriter

from .prepare import Prepared
from .schedule import write_run

__all__ = ["Result", "run"]

#: Progress is told this often, in clocks.
_PROGRESS = 500
#: The waves show a run of at most this many clocks in full.
_WHOLE = 100_000
#: What they show of a longer one: this many clocks before its first violation (or its end), and after it.
_BEFORE, _AFTER = 5000, 2000


@dataclass(frozen=True)
class Result:
    """The result of a run.

    clocks, ending : of the machine.  calls : every Call.  violations : by clock.  digest : of all records.
    oracles : the verdict of each, as plain data (``sim.oracles.oracle.Oracle.to_json``).
    messages : what happened to interrupt messages, as plain data (``sim.calls.Messages``).
    facts : what the oracles measured.  unfinished : a sentence for each unfinished call.  stalls : what holds them up.
    flags : of the Monitor: name -> clock.  schedule : the schedule in force, if it was recorded.
    window : the clocks in the waves, or None.  files : what was written: kind -> path, in the order of display.
    """

    prepared: Prepared
    engine: str
    clocks: int
    ending: Ending
    calls: tuple
    violations: tuple
    digest: int
    oracles: tuple
    messages: dict
    facts: dict
    unfinished: tuple[str, ...]
    stalls: tuple[Stall, ...]
    flags: dict
    schedule: tuple | None
    window: range | None
    files: dict

    @property
    def ok(self):
        """Whether all calls completed and every oracle holds."""
        return not self.violations and self.ending is Ending.QUIET

    @property
    def seen(self):
        """Flag of the Monitor or violated oracle -> its first clock."""
        first: dict[str, int] = {}
        for item in self.violations:
            first.setdefault(item.oracle, item.clock)
        return {**first, **self.flags}

    @property
    def as_expected(self):
        """Whether exactly the oracles that the scenario names are violated, and the run came to an end."""
        violated = {item.oracle for item in self.violations}
        return violated == set(self.prepared.expected) and self.ending is not Ending.LIMIT

    def to_json(self):
        scenario, chosen = self.prepared.scenario, self.prepared.settings
        return {
            "scenario": scenario.name,
            "title": scenario.title,
            "protocol": self.prepared.image.path.stem,
            "without": list(self.prepared.without),
            "seed": scenario.seed,
            "engine": self.engine,
            "memory": chosen.memory,
            "config": asdict(chosen.config),
            "straps": asdict(chosen.straps),
            "defines": chosen.defines,
            "clocks": self.clocks,
            "ending": self.ending.value,
            "digest": f"{self.digest:#010x}",
            "ok": self.ok,
            "expected": list(self.prepared.expected),
            "as_expected": self.as_expected,
            "oracles": list(self.oracles),
            "violations": [item.to_json() for item in self.violations],
            "messages": self.messages,
            "facts": self.facts,
            "unfinished": list(self.unfinished),
            "stalls": [item.to_json() for item in self.stalls],
            "calls": [call.to_json() for call in self.calls],
            "window": self.window and [self.window.start, self.window.stop],
            "files": {what: str(path) for what, path in self.files.items()},
        }


def run(prepared, *, engine=None, out=None, name=None, waves=True, record=False, watch=None,
        progress=lambda clock: None):
    """Run, observe and judge. Observing does not change the run.

    engine : of the same config; None: a new PySimEngine.  out : the folder for files; None: no files.
    name : of the files, without suffix; None: the scenario's.  waves : whether to write waves. If the run is then a finding, its
    schedule is written as well.
    record : whether the Result has the schedule.  progress : called with the clock from time to time.
    watch : something whose ``add(record, tracker)`` is called with each record, or None. If it has ``on_clock``, that is called
    like a Sink's, with the probe in every clock, after the records of the clock.
    If the Run has no window, the waves show all clocks of a run of at most 100,000. For a longer run they show the clocks around
    the first violation, or the last ones. (These are not known in advance, so a long run is done twice.)
    Files appear whole when the run has ended. If it is interrupted, earlier files stay. Raises InputError if they
    cannot be written.
    """
    engine = engine or PySimEngine(prepared.run.config)

    def once(files, window, watch=watch, *, whole=False):
        return _run(prepared, engine, files, window, progress, record, watch, whole)

    files = None if out is None else out / (name or prepared.scenario.name)
    if out is None or not waves:
        return once(files, None)
    window = prepared.run.window
    result = once(files, range(_WHOLE) if window is None else window, whole=window is None)
    if result.window is None:
        # ``watch`` has seen it.
        result = once(files, _interesting(result), None)
    _leave(result, files)
    return result


def _leave(result, path):
    """Write the Run beside the waves of a finding, so that it can be repeated."""
    path = path.with_name(f"{path.name}.schedule")
    # A file that is being replayed stays as it is; any other one there belongs to another run.
    mine = result.prepared.run.contents is None
    if not result.ok:
        result.files["schedule"] = path
        if mine or not path.exists():
            first = result.violations[0] if result.violations else None
            violation = result.prepared.run.violation or first and (first.oracle, first.clock)
            write_run(path, result.prepared.recorded(violation=violation))
    elif mine:
        path.unlink(missing_ok=True)


def _interesting(result):
    """The window to show of a long run."""
    middle = result.violations[0].clock if result.violations else result.clocks
    return range(max(0, middle - _BEFORE), min(result.clocks, middle + _AFTER))


def _run(prepared, engine, path, window, progress, record, watch, whole):
    """One run, with files if there is a path for them (without suffix), with waves if there is also a window. whole : only if the
    window contains the whole run; else the window of the Result is None."""
    config, image, scenario = prepared.run.config, prepared.image, prepared.scenario
    observers = _Observers(prepared, progress, watch)
    files = {}
    with ExitStack() as stack:
        if path is not None:
            make_folder(path.parent)
            files["events"] = path.with_name(f"{path.name}.events.jsonl")
            observers.log = stack.enter_context(EventLog(files["events"], image))
        if window is not None:
            files["waves"] = path.with_name(f"{path.name}.vcd")
            files["view"] = path.with_name(f"{path.name}.gtkw")
            writer = stack.enter_context(WaveWriter(files["waves"], config, image, arena=prepared.contents.arena, stages=STAGES,
                                                    start=window.start, meta=_meta(prepared),
                                                    comment=f"{scenario.name}: {scenario.title}"))
            feed = observers.waves = WaveFeed(writer, observers.tracker, observers.judges, end=window.stop)
        outcome = engine.run(prepared.job, sink=observers, probe=observers.looks or window or False, record=record)
        violations = observers.finish(outcome)
        if whole and outcome.clocks > window.stop:
            window = None
            del files["waves"], files["view"]
        if window is not None:
            window = range(window.start, min(window.stop, outcome.clocks))
            feed.close(outcome.clocks, outcome.ending)
            write_gtkw(writer)
            write_surfer(writer)
    return Result(prepared, engine.name, outcome.clocks, outcome.ending, tuple(observers.tracker.calls), violations,
                  observers.digest.value(), tuple(judge.to_json() for judge in observers.judges),
                  observers.tracker.messages.to_json(), observers.jury.facts(), tuple(observers.watchdog.sentences()),
                  stalls(observers.tracker), dict(outcome.flags), outcome.schedule, window, files)


class _Observers:
    """The Sink of a run: digest, tracker, oracles, watchdog, and the writers of files if there are any."""

    def __init__(self, prepared, progress, watch):
        config, image = prepared.run.config, prepared.image
        self.sources = Sources(config)
        self.digest = Digest(self.sources)
        self.tracker = CallTracker.for_image(config, image, prepared.contents.arena)
        self.jury = Jury(make_oracles(config, image, arena=prepared.contents.arena, scenario=prepared.scenario,
                                      max_visits=prepared.scenario.visits), make_measures(config, image))
        self.watchdog = Watchdog(self.tracker, patience=prepared.patience)
        self.judges = (*self.jury.oracles, self.watchdog)
        self.log = None
        self.waves = None
        self._watch = watch
        self.looks = hasattr(watch, "on_clock")
        self._progress = progress
        self._next_progress = 0

    def on_clock(self, clock, records, probe):
        stuck = False
        for index, raw in records:
            self.digest.add(clock, index, raw)
            record = self.sources.decode(clock, index, raw)
            call = self.tracker.add(record)
            self.jury.add(record, self.tracker)
            stuck = self.watchdog.add(record)
            if self.log is not None:
                self.log.add(record, call)
            if self._watch is not None:
                self._watch.add(record, self.tracker)
        if self.looks:
            self._watch.on_clock(clock, records, probe)
        if self.waves is not None:
            self.waves.on_clock(clock, records, probe)
        if clock >= self._next_progress:
            self._next_progress = clock + _PROGRESS
            self._progress(clock)
        return stuck

    def finish(self, outcome):
        """All violations, by clock."""
        self.jury.finish(outcome, self.tracker)
        self.watchdog.finish(outcome)
        return tuple(sorted([*self.jury.violations, *self.watchdog.violations], key=lambda item: item.clock))


def _meta(prepared):
    """What the waves contain about the run, besides the machine and the image."""
    return {
        "scenario": prepared.scenario.name,
        "protocol": prepared.image.path.stem,
        "without": list(prepared.without),
        "seed": prepared.scenario.seed,
        "straps": asdict(prepared.settings.straps),
    }
