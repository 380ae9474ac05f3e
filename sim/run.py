"""One run: everything is joined here. First all that can be refused, then the machine with its observers, then the files."""

import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field, replace
from math import ceil
from pathlib import Path
from typing import Any

from rtl.memory.port import MemoryModel
from sim.calls import Call, CallTracker
from sim.engines.engine import PLAIN, Contents, Ending, Engine
from sim.engines.pysim import PySimEngine
from sim.errors import InputError
from sim.events import EventLog
from sim.files import make_folder
from sim.microcode.assembler import SOURCES, UnknownDefine, assemble
from sim.microcode.image import Image
from sim.microcode.knockout import idle_barriers, knock_out
from sim.microcode.protocols import find_protocol
from sim.names import closest
from sim.oracles import Jury, Violation, make_oracles
from sim.profile import profile_of
from sim.records import Digest, Sources
from sim.scenarios.contents import contents
from sim.scenarios.expected import expected_of
from sim.scenarios.reader import Scenario, find_scenario, is_shipped, read_scenario
from sim.schedules import Plan, RunRecipe
from sim.settings import Settings, preset_config, settings
from sim.texts import integer, read_text
from sim.watchdog import JUDGES, Watchdog
from sim.waves.feed import STAGES, WaveFeed
from sim.waves.gtkw import write_gtkw
from sim.waves.writer import WaveWriter

__all__ = ["Prepared", "Result", "patience_of", "prepare", "prepare_recipe", "run", "window_of", "with_limits"]

#: Clocks without progress, beyond what the scenario itself lets pass, after which a run is stuck.
_PATIENCE = 5000
#: Progress is told this often, in clocks.
_PROGRESS = 500
#: A run of at most so many clocks is shown whole.
_WHOLE = 100_000
#: What is shown of a longer one: so many clocks before its first violation (or its end), and after it.
_BEFORE, _AFTER = 5000, 2000
#: More clocks than any run has.
_ENDLESS = 1 << 40


@dataclass(frozen=True)
class Prepared:
    """What a run is made of, all of it checked."""

    scenario: Scenario
    settings: Settings
    image: Image
    contents: Contents
    without: tuple[str, ...]
    #: Oracles that the run violates: as its scenario says, or what is said beside the protocol.
    expected: tuple[str, ...] = ()
    #: Of those, the barriers that do nothing under the memory model of the run -> one under which they could.
    barriers: dict[str, str] = field(default_factory=dict)


def prepare(name: str, *, protocol: str | None = None, cores: int | None = None, preset: str | None = None,
            assignments: Sequence[str] = (), without: Sequence[str] = (), seed: int = 0, patience: int | None = None,
            visits: int | None = None) -> Prepared:
    """Read, assemble and check. Nothing is elaborated, nothing written. Raises InputError.

    name : a shipped scenario, or a path.  protocol, cores, preset : instead of the scenario's own.
    assignments : ``key=value`` of ``--set``.  without : named barriers and locks to leave out.
    patience, visits : limits, instead of the scenario's own.
    """
    if cores is None and preset is not None:
        cores = preset_config(preset).n_cores
    scenario = with_limits(read_scenario(find_scenario(name), cores=cores, seed=seed), patience, visits)
    for oracle in scenario.expected:
        if oracle not in JUDGES:
            raise scenario.document.refusal(("expect", "violations"), f'names the oracle "{oracle}", which does not exist'
                                                                      f"{closest(oracle, JUDGES)} (there are: {', '.join(JUDGES)})")
    chosen = settings(scenario, preset=preset or "default", assignments=assignments)
    try:
        path = find_protocol(protocol or scenario.protocol)
    except InputError as error:
        if protocol is not None:
            raise
        raise scenario.document.refusal(("protocol",), f"is refused: {error}") from None
    try:
        image = assemble(path, n_cores=scenario.n_cores, xlen=chosen.config.xlen, defines={**chosen.defines, **_mode(chosen)})
    except UnknownDefine as error:
        if chosen.defines.get(error.name) != scenario.defines.get(error.name):
            raise InputError(f"--set define.{error.name}={chosen.defines[error.name]}: {error}") from None
        raise scenario.document.refusal(("defines", error.name), f"is refused: {error}") from None
    barriers = idle_barriers(image, without, MemoryModel(chosen.straps.memory_model))
    image = knock_out(image, without)
    for word in scenario.data:
        try:
            image.address_of(word)
        except KeyError:
            raise scenario.document.refusal(("expect", "data", word), f"is no word that {image.path.name} declares") from None
    return Prepared(scenario, chosen, image, contents(scenario, image, chosen.config), tuple(without),
                    _expected(scenario, path, chosen.memory), barriers)


def _expected(scenario, protocol, memory):
    """The oracles that a run violates: as the scenario says, or what is said beside the protocol."""
    if scenario.document.has(("expect", "violations")):
        return scenario.expected
    if protocol.parent == SOURCES and not is_shipped(scenario):
        return ()                     # a file of the user's that is called as a shipped one is another scenario
    return expected_of(protocol, JUDGES, scenario=scenario.name, memory=memory, cores=scenario.n_cores)


def with_limits(scenario: Scenario, patience: int | None, visits: int | None) -> Scenario:
    """The Scenario with other limits, where they are not None."""
    return replace(scenario, patience=scenario.patience if patience is None else patience,
                   visits=scenario.visits if visits is None else visits)


def prepare_recipe(recipe: RunRecipe, path: Path, *, patience: int | None = None, visits: int | None = None,
                   tell: Callable[[str], object] = lambda line: None) -> Prepared:
    """What a RunRecipe says, ready to run. Raises InputError if it would be another run; ``path`` is its file.

    patience, visits : as of ``prepare``.
    tell : called with what is to be said of the user's own files, if they are not what they were.
    """
    own = {kind: _own_file(recipe, kind, tell) for kind in ("scenario", "protocol")}
    file = own["scenario"] or find_scenario(recipe.scenario)
    scenario = read_scenario(file, cores=recipe.config.n_cores, seed=recipe.seed, text=recipe.files.get("scenario"))
    scenario = with_limits(scenario, patience, visits)
    chosen = Settings(recipe.config, recipe.straps, recipe.defines)
    protocol = Path(own["protocol"] or find_protocol(recipe.protocol))
    image = assemble(protocol, n_cores=recipe.config.n_cores, xlen=recipe.config.xlen,
                     defines={**recipe.defines, **_mode(chosen)}, text=recipe.files.get("protocol"))
    image = knock_out(image, recipe.without)
    prepared = Prepared(scenario, chosen, image, contents(scenario, image, recipe.config), recipe.without,
                        _expected(scenario, protocol, chosen.memory))
    recipe.check(prepared.contents, file=path)
    return prepared


def _own_file(recipe, kind, tell):
    """The path of the user's own file whose text is in the recipe, or None. What is in the recipe counts."""
    if kind not in recipe.files:
        return None
    path = Path(getattr(recipe, kind))
    with suppress(InputError):
        if path.exists() and read_text(path) != recipe.files[kind]:
            tell(f"{path}: has changed since; the run is repeated with the {kind} as it was, which is in the schedule")
    return path


def _mode(chosen):
    """What a kernel would find out at boot and the microcode is told: in x2APIC mode the send path has a fence."""
    return {"X2APIC": 1} if chosen.straps.x2apic else {}


@dataclass(frozen=True)
class Result:
    """What came out of a run.

    clocks, ending : of the machine.  calls : every Call.  violations : by clock.  digest : of all records.
    oracles : what each says, as plain data (``sim.oracles.oracle.Oracle.to_json``).
    messages : what became of interrupt messages, as plain data (``sim.calls.Messages``).
    facts : what the oracles measured.  unfinished : a sentence for each call that is not over.
    flags : of the Monitor: name -> clock.  schedule : what was in force, if it was recorded.
    window : the clocks that are in the waves, or None.  files : what was written: kind -> path, in the order in which to name them.
    """

    prepared: Prepared
    engine: str
    clocks: int
    ending: Ending
    calls: tuple[Call, ...]
    violations: tuple[Violation, ...]
    digest: int
    oracles: tuple[dict, ...]
    messages: dict[str, int]
    facts: dict
    unfinished: tuple[str, ...]
    flags: dict[str, int]
    schedule: tuple[tuple[int, int], ...] | None
    window: range | None
    files: dict[str, Path]

    @property
    def ok(self) -> bool:
        """All calls completed and every oracle holds."""
        return not self.violations and self.ending is Ending.QUIET

    @property
    def seen(self) -> dict[str, int]:
        """Flag of the Monitor or violated oracle -> the clock of the first."""
        first: dict[str, int] = {}
        for item in self.violations:
            first.setdefault(item.oracle, item.clock)
        return {**first, **self.flags}

    @property
    def as_expected(self) -> bool:
        """Just those oracles are violated that the scenario names; and the run came to an end."""
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
            "cycles": self.clocks,
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
            "calls": [call.to_json() for call in self.calls],
            "window": self.window and [self.window.start, self.window.stop],
            "files": {what: str(path) for what, path in self.files.items()},
        }


def window_of(text: str) -> range | None:
    """The range of clocks that ``--window`` names: ``A:B``, ``A:`` or ``:B``; None for ``auto``. Raises InputError."""
    if text == "auto":
        return None
    found = re.fullmatch(r"([0-9]*):([0-9]*)", text)
    if not found:
        raise InputError(f"--window {text}: must be written as A:B, the first clock and the one after the last, or as auto")
    window = range(integer(found[1] or "0"), integer(found[2] or str(_ENDLESS)))
    if not window:
        raise InputError(f"--window {text}: there is no clock in it")
    return window


def run(prepared: Prepared, *, engine: Engine | None = None, max_clocks: int = 100_000, out: Path | None = None, waves: bool = True,
        window: range | None = None, plan: Plan = PLAIN, record: bool = False, replay: Sequence[tuple[int, int]] = (),
        patience: int | None = None, name: str | None = None, progress: Callable[[int], object] = lambda clock: None) -> Result:
    """Run, observe and judge. What is observed does not change the run.

    engine : to run on, of the same config; a new PySimEngine if None.  out : the folder for files; None writes none.
    name : of the files, without suffix; that of the scenario if None.
    waves : whether waves are among them.  plan, record, replay : of the schedule, as engines take them.
    patience : clocks without progress after which the run is stuck; as the scenario and the plan need it, if None.
    progress : called with the clock now and then.
    window : the clocks that the waves show. None: all, if they are at most 100,000; of a longer run those around the first
        violation, or the last ones. (Where they are is not known before, so a run that may be long is done twice.)
    Files appear whole when the run is over; if it is interrupted, what was there before stays. Raises InputError if they
    cannot be written.
    """
    engine = engine or PySimEngine(prepared.settings.config)
    if patience is None:
        patience = patience_of(prepared.scenario, plan)

    def once(files, window):
        return _run(prepared, engine, max_clocks, files, window, progress, patience, plan=plan, record=record, replay=replay)

    files = None if out is None else out / (name or prepared.scenario.name)
    if out is None or not waves:
        return once(files, None)
    if window is None and max_clocks > _WHOLE:
        window = _interesting(once(None, None))
    return once(files, range(_ENDLESS) if window is None else window)


def _interesting(result):
    """The window to show of a run."""
    if result.clocks <= _WHOLE:
        return range(result.clocks)
    middle = result.violations[0].clock if result.violations else result.clocks
    return range(max(0, middle - _BEFORE), min(result.clocks, middle + _AFTER))


def _run(prepared: Prepared, engine: Engine, max_clocks: int, path: Path | None, window: range | None,
         progress: Callable[[int], object], patience: int, **schedule: Any) -> Result:
    """One run, with files if there is a path for them (without suffix), with waves among them if there is a window."""
    config, image, scenario = prepared.settings.config, prepared.image, prepared.scenario
    observers = _Observers(prepared, progress, patience)
    files = {}
    with ExitStack() as stack:
        if path is not None:
            make_folder(path.parent)
            files["events"] = path.with_name(f"{path.name}.events.jsonl")
            observers.log = stack.enter_context(EventLog(files["events"], image))
        if path is not None and window is not None:
            files["waves"] = path.with_name(f"{path.name}.vcd")
            files["view"] = path.with_name(f"{path.name}.gtkw")
            writer = stack.enter_context(WaveWriter(files["waves"], config, image, arena=prepared.contents.arena, stages=STAGES,
                                                    start=window.start, meta=_meta(prepared),
                                                    comment=f"{scenario.name}: {scenario.title}"))
            feed = observers.waves = WaveFeed(writer, observers.tracker, observers.judges, end=window.stop)
        profile = profile_of(config, image, straps=prepared.settings.straps, arena=prepared.contents.arena, visits=scenario.visits)
        outcome = engine.run(prepared.contents, prepared.settings.straps, max_clocks=max_clocks, sink=observers,
                             probe=window or False, patience=patience, profile=profile, **schedule)
        violations = observers.finish(outcome)
        if window is not None:
            window = range(window.start, min(window.stop, outcome.clocks))
            feed.close(outcome.clocks)
            write_gtkw(writer)
    return Result(prepared, engine.name, outcome.clocks, outcome.ending, tuple(observers.tracker.calls), violations,
                  observers.digest.value(), tuple(judge.to_json() for judge in observers.judges),
                  observers.tracker.messages.to_json(), observers.jury.facts(), tuple(observers.watchdog.sentences()),
                  dict(outcome.flags), outcome.schedule, window, files)


class _Observers:
    """The Sink of a run: digest, tracker, oracles, watchdog, and the writers of files if there are any."""

    def __init__(self, prepared, progress, patience):
        config, image = prepared.settings.config, prepared.image
        self.sources = Sources(config)
        self.digest = Digest(self.sources)
        self.tracker = CallTracker.for_image(config, image, prepared.contents.arena)
        self.jury = Jury(make_oracles(config, image, arena=prepared.contents.arena, scenario=prepared.scenario,
                                      max_visits=prepared.scenario.visits))
        self.watchdog = Watchdog(self.tracker, patience=patience)
        self.judges = (*self.jury.oracles, self.watchdog)
        self.log: EventLog | None = None
        self.waves: WaveFeed | None = None
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
    """What the waves say of the run besides the machine and the image."""
    return {
        "scenario": prepared.scenario.name,
        "protocol": prepared.image.path.stem,
        "without": list(prepared.without),
        "seed": prepared.scenario.seed,
        "straps": asdict(prepared.settings.straps),
    }


def patience_of(scenario: Scenario, plan: Plan = PLAIN) -> int:
    """After how many clocks without progress a run is stuck: more than the scenario itself lets pass, or what it says, and the plan
    holds it up."""
    if scenario.patience is not None:
        return ceil(scenario.patience * plan.slowness)
    commands = [command for program in scenario.programs for command in program]
    return ceil((_PATIENCE + max(scenario.work)) * plan.slowness) + max(command.at + command.delay for command in commands)
