"""Runs litmus tests on the machine and judges what was seen."""

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from itertools import count
from pathlib import Path
from random import Random

from rtl.config import Straps
from rtl.memory.path import MemoryModel
from rtl.schedule import ScheduleKind
from sim.engines.engine import Ending, Job
from sim.engines.spec import EngineSpec
from sim.errors import InputError
from sim.files import make_folder
from sim.runs.description import OfLitmus, Run, contents_digest
from sim.runs.plan import Plan
from sim.runs.schedule import write_run
from sim.texts import read_text
from sim.waves.gtkw import write_gtkw
from sim.waves.surfer import write_surfer
from sim.waves.writer import WaveWriter

from .guide import guide
from .models import Model, explore
from .parser import parse
from .syntax import LitmusTest, Mode
from .translate import machine_config, translate

__all__ = ["Result", "Runner", "Verdict", "repeat"]

_MODELS = {model: MemoryModel[model.name].value for model in Model}
#: A run that has not ended by then never will; and the clocks that each microword may take.
_MAX_CLOCKS = 20_000
_CLOCKS_PER_WORD = 100
#: Random choices of a run. The threads begin one after another, in any order, this far apart, each with up to this much jitter; in
#: clocks.
_GAPS = (0, 8, 16, 24)
_JITTER = 3
#: How often a store buffer is held, and everything else (a core, an interrupt, a message), in 1/256 per clock; and the longest
#: hold, as a power of two. Holding begins a little before the threads, so that some holds are in progress when they begin.
_DRAINS = (60, 100, 160)
_OTHERS = (0, 16, 48)
_LENGTHS = (4, 5, 6)
_EARLY = 24


class Verdict(Enum):
    OK = "ok"
    #: A final state that the model does not allow, or that is expected not to occur.
    FORBIDDEN_SEEN = "forbidden-seen"
    #: The outcome that the test asks about is allowed, and no run showed it.
    NOT_OBSERVED = "not-observed"


@dataclass(frozen=True)
class Result:
    """What the runs of one test showed.

    mode : of the local APICs; None if the test sends no interrupts.  runs : how many there were.
    states : final state (values of ``test.observed``, or None for a run that did not end) -> in how many runs.
    possible : the final states that the model allows; None if they are too many to try.
    expected : whether the outcome that the test asks about may occur; None if that is unknown, or the test asks nothing.
    files : waves and schedule of a forbidden run: kind -> path.
    """

    test: LitmusTest
    model: Model
    mode: Mode | None
    runs: int
    states: Counter
    possible: frozenset | None
    expected: bool | None
    files: dict

    @property
    def name(self):
        return f"{self.test.name} ({self.mode.value})" if self.mode else self.test.name

    @property
    def observed(self):
        """Whether the outcome that the test asks about was seen (see LitmusTest.asked)."""
        return any(state is not None and self.test.asked(state) for state in self.states)

    @property
    def holds(self):
        """Whether the proposition of the file holds for what was seen."""
        return self.test.proposition(state for state in self.states if state is not None)

    def forbids(self, state):
        """Whether a final state must not occur."""
        return _forbidden(self.test, state, self.possible, self.expected)

    @property
    def verdict(self):
        if any(map(self.forbids, self.states)):
            return Verdict.FORBIDDEN_SEEN
        return Verdict.NOT_OBSERVED if self.expected and not self.observed else Verdict.OK

    def to_json(self):
        return {
            "name": self.test.name,
            "title": self.test.title,
            "file": str(self.test.path),
            "mode": self.mode and self.mode.value,
            "runs": self.runs,
            "states": [
                {"state": None if state is None else self.test.shown(state), "count": count,
                 "asked": state is not None and self.test.asked(state), "forbidden": self.forbids(state)}
                for state, count in self.states.most_common()
            ],
            "asks": self.test.asks,
            "holds": self.holds,
            "observed": self.observed,
            "expected": {None: None, True: "allowed", False: "forbidden"}[self.expected],
            "enumerated": self.possible is not None,
            "verdict": self.verdict.value,
            "files": {what: str(path) for what, path in self.files.items()},
        }


def _forbidden(test, state, possible, expected):
    if state is None:
        return True
    return possible is not None and state not in possible or expected is False and test.asked(state)


class Runner:
    """Runs tests, each on the machine for its number of threads.

    Parameters
    ----------
    model : the Model of the machine.  runs : of each test.
    seed : run ``i`` of a test depends only on seed, name, model and mode.
    expected : an Expected.  out : the folder for waves; None: no waves.
    engine : of ENGINES, or None.  note : called with remarks about the engines.
    """

    def __init__(self, *, model, runs, seed, expected, out=None, engine=None, note=lambda line: None):
        self._model = model
        self._runs = runs
        self._seed = seed
        self._expected = expected
        self._out = out
        self._name = engine
        self._note = note
        self.engines = {}

    def run(self, test, *, stem=None):
        """A Result for each mode of a LitmusTest. stem : name of its waves, instead of the test's. Raises InputError if no machine
        is large enough."""
        program = translate(test)
        return [self._run(program, mode, stem or test.name) for mode in test.modes or (None,)]

    def prepare(self, n_cores, xlen):
        """Make the machine of most tests of this kind."""
        self._engine(machine_config(n_cores, xlen))

    def _run(self, program, mode, stem):
        test = program.test
        ways = explore(test, self._model, mode)
        possible = None if ways is None else frozenset(ways)
        expected = self._expect(test, mode, possible)
        states, files = Counter(), {}
        for _, run in zip(range(self._runs), self._all(program, mode, ways), strict=False):
            engine = self._engine(program.config)
            state = _state(program, engine.run(_job(program, run)))
            if state is not None and not test.counts(state):
                continue
            states[state] += 1
            if not files and self._out is not None and _forbidden(test, state, possible, expected):
                files = self._leave(program, run, engine, self._out / (f"{stem}.{mode.value}" if mode else stem))
        return Result(test, self._model, mode, self._runs, states, possible, expected, files)

    def _expect(self, test, mode, possible):
        proposition = self._expected.proposition(test, self._model, mode)
        if proposition is not None and test.asks:
            return test.allows(proposition)
        return None if possible is None or not test.asks else any(map(test.asked, possible))

    def _all(self, program, mode, ways):
        """The Run of each number, without end. Every second one is guided, as long as there are guides: a random schedule rarely
        has all threads in the one order, and the one store held, that some final states need."""
        test = program.test
        plain = Run(subject=OfLitmus(litmus=str(test.path), mode=mode and mode.value, delays=(0,) * test.n_cores),
                    config=program.config, straps=_straps(self._model, mode),
                    max_clocks=_MAX_CLOCKS + _CLOCKS_PER_WORD * len(program.image.words))
        guided = self._guided(program, ways)
        for number in count():
            schedule = next(guided, None) if number % 2 else None
            yield self._drawn(plain, program, mode, number) if schedule is None else \
                replace(plain, plan=Plan(kind=ScheduleKind.REPLAY), schedule=tuple(schedule))

    def _guided(self, program, ways):
        """A schedule for each final state, along the model's path to it. Then one for each state that only a weaker model allows,
        or this model without barriers: along the same path a correct machine does not reach it."""
        test = program.test
        # Interrupts cannot be guided, and stores that are not the test's would be in the way.
        if ways is None or len(test.threads) != test.n_cores or any(program.spilled.values()):
            return
        models = list(Model)
        weaker = [(model, True) for model in models[models.index(self._model) + 1:]]
        yield from _guides(program, self._model, ways)
        for model, barriers in [*weaker, (self._model, False)]:
            found = explore(test, model, barriers=barriers) or {}
            yield from _guides(program, model, {state: way for state, way in found.items() if state not in ways})

    def _drawn(self, plain, program, mode, number):
        random = Random(f"{self._seed} {program.test.name} {mode and mode.value} {number}")
        order = random.sample(range(program.test.n_cores), program.test.n_cores)
        gap = random.choice(_GAPS)
        others = random.choice(_OTHERS)
        delays = tuple(gap * place + random.randint(0, _JITTER) for place in order)
        return replace(
            plain, subject=replace(plain.subject, delays=delays),
            plan=Plan(kind=ScheduleKind.BOUNDED, seed=random.getrandbits(32), start=program.start - _EARLY, stall=others,
                      hold_drain=random.choice(_DRAINS), hold_interrupt=others, hold_message=others,
                      delay=random.choice(_LENGTHS)),
        )

    def _engine(self, config):
        if config not in self.engines:
            self.engines[config] = EngineSpec(config, self._name).make(self._note)
        return self.engines[config]

    def _leave(self, program, run, engine, path):
        """Repeat the run, with its files. ``path`` : theirs, without suffix."""
        make_folder(self._out)
        outcome, files = _with_waves(program, run, engine, path)
        files["schedule"] = path.with_name(f"{path.name}.schedule")
        write_run(files["schedule"], replace(
            run, contents=contents_digest(program.contents(run.subject.delays)), files={"litmus": read_text(program.test.path)},
            violation=(_shown(program.test, _state(program, outcome)), outcome.clocks)))
        return files


def repeat(run, *, engine, file, out=None, name, tell=lambda line: None):
    """Carry out the Run of a litmus test. Returns what was seen, as plain data. Raises InputError if it would be another run.

    file : with the Run.  out : the folder for waves; None: no waves.  name : of them, without suffix.
    tell : called with a remark if the test has changed.
    """
    path = Path(run.subject.litmus)
    with suppress(InputError):
        if path.exists() and read_text(path) != run.files.get("litmus"):
            tell(f"{path}: has changed since; the run is repeated with the test in the schedule")
    if "litmus" not in run.files:
        raise InputError("files.litmus is missing", file=file)
    program = translate(parse(run.files["litmus"], path))
    if len(run.subject.delays) != program.test.n_cores or run.config != program.config:
        raise InputError("the run cannot be repeated: the test is for another machine", file=file)
    run.check(program.contents(run.subject.delays), file=file)
    if out is None:
        outcome, files = engine.run(_job(program, run)), {}
    else:
        make_folder(out)
        outcome, files = _with_waves(program, run, engine, out / name)
    return {"name": program.test.name, "title": program.test.title, "mode": run.subject.mode, "engine": engine.name,
            "clocks": outcome.clocks, "ending": outcome.ending.value, "shown": _shown(program.test, _state(program, outcome)),
            "files": {what: str(path) for what, path in files.items()}}


def _job(program, run):
    return Job(program.contents(run.subject.delays), run.straps, max_clocks=run.max_clocks, **run.driven)


def _state(program, outcome):
    return program.final_state(outcome.arena) if outcome.ending is Ending.QUIET else None


def _shown(test, state):
    """A final state as text."""
    return "the run did not end" if state is None else "; ".join(
        f"{variable}={value}" for variable, value in test.shown(state).items())


def _with_waves(program, run, engine, path):
    """(Outcome, files) of a run. ``path`` : of the files, without suffix."""
    job, name = _job(program, run), program.test.name
    files = {"waves": path.with_name(f"{path.name}.vcd"), "view": path.with_name(f"{path.name}.gtkw")}
    window = range(run.max_clocks) if run.window is None else run.window
    meta = {"litmus": name, "memory": MemoryModel(run.straps.memory_model).name.lower(), "mode": run.subject.mode}
    with WaveWriter(files["waves"], program.config, program.image, arena=job.contents.arena, meta=meta, start=window.start,
                    comment=f"litmus test {name}") as writer:
        outcome = engine.run(job, sink=_Shown(writer, window), probe=window)
        writer.close(min(window.stop, outcome.clocks), outcome.ending.value if outcome.clocks <= window.stop else "")
        write_gtkw(writer)
        write_surfer(writer)
    return outcome, files


class _Shown:
    """A Sink: the writer, until the window ends."""

    def __init__(self, writer, window):
        self._writer = writer
        self._end = window.stop

    def on_clock(self, clock, records, probe):
        return clock < self._end and self._writer.on_clock(clock, records, probe)


def _guides(program, model, ways):
    """Guides to the outcome that the test asks about come first."""
    for state in sorted(ways, key=lambda state: (not program.test.asked(state), state)):
        yield guide(program, model, ways[state])


def _straps(model, mode):
    """A machine with quick interrupts, so that stores are still in the store buffer when they arrive."""
    return Straps(fabric_latency=1, interrupt_entry=0, interrupt_return=0, memory_model=_MODELS[model],
                  x2apic=int(mode is Mode.X2APIC))
