"""A scenario on a board, compared with the simulation of the same machine."""

from dataclasses import dataclass, fields

from rtl.boards.wire import Identity
from rtl.config import MachineConfig
from sim.calls import Call
from sim.engines.spec import EngineSpec
from sim.records import Digest, Sources
from sim.runs.prepare import prepare
from sim.runs.run import run as observe
from sim.scenarios.contents import TooManyWords
from sim.texts import count

from .session import Summary

__all__ = ["Comparison", "compare", "difference_of", "digest_of", "prepare_for"]


@dataclass(frozen=True)
class Comparison:
    """A board's run of a scenario.

    identity : of the board.  summary : of its run.  status : per core, in the last clock.
    difference : the first one from the simulation, as a sentence; None: there is none.
    calls : how each call went. The arena does not tell; the simulation does, whose run ended in the same clock with the same arena.
        Empty if there is a difference.
    digest : of the board's records; None: it has no Digest.
    repeated : requests that had to be sent again.
    """

    identity: Identity
    summary: Summary
    status: list
    difference: str | None
    calls: tuple[Call, ...]
    digest: int | None
    repeated: int

    def to_json(self):
        return {
            "equal": self.difference is None,
            "clock": self.summary.clock,
            "ending": self.summary.ending.value,
            "cores": self.identity.config.n_cores,
            "calls": [call.to_json() for call in self.calls],
            "digest": None if self.digest is None else f"{self.digest:#010x}",
            "difference": self.difference,
            "repeated": self.repeated,
        }


def prepare_for(config, scenario, *, assignments=(), **options):
    """A Prepared of the scenario on exactly this machine. options : of ``prepare``. Raises InputError if it does not fit.

    If the protocol has too many words for the microcode store, its optional parts are left out, except those that are assigned.
    """
    structure = [f"{item.name}={getattr(config, item.name)}" for item in fields(MachineConfig) if item.name != "n_cores"]
    try:
        return prepare(scenario, cores=config.n_cores, assignments=(*structure, *assignments), **options)
    except TooManyWords as error:
        lean = [f"define.{name}=0" for name in error.optional]
        if not lean:
            raise
    return prepare(scenario, cores=config.n_cores, assignments=(*structure, *lean, *assignments), **options)


def compare(session, prepared, *, tell=lambda line: None, progress=lambda text: None):
    """Run a Prepared on a board, from loading to reading back, and simulate it. Returns the Comparison.

    tell, progress : called with remarks, and with what is in progress. Raises BoardError if the board stops answering.
    """
    run = prepared.run
    progress("simulating")
    engine = EngineSpec(run.config).make(tell)
    expected = next(engine.run_many([prepared.job], arena=True))
    session.load(prepared.contents, run.straps, lambda done, of: progress(f"loading word {done} of {of}"))
    summary = session.run(run.max_clocks, lambda clock: progress(f"running, clock {clock}"))
    status, digest = session.status(), session.digest()
    progress("reading the arena")
    difference, calls = difference_of(summary, session.arena(), expected, prepared.image), ()
    if difference is None:
        if digest not in (None, digest_of(engine, prepared.job)):
            clock = _first_clock(session, prepared, engine, summary.clock, progress)
            difference = f"clock {clock} is the first whose records differ from the simulation's"
        else:
            calls = observe(prepared, engine=engine).calls
    return Comparison(session.identity, summary, status, difference, calls, digest, session.link.repeated)


def _first_clock(session, prepared, engine, clocks, progress):
    """The number of the first clock in which the records differ, by bisection: they do within this many clocks."""
    same, differ = 0, clocks
    while differ - same > 1:
        middle = (same + differ) // 2
        progress(f"looking for the first difference between clock {same} and {differ}")
        session.load(prepared.contents, prepared.run.straps)
        session.run(middle)
        if session.digest() == digest_of(engine, prepared.under(max_clocks=middle).job):
            same = middle
        else:
            differ = middle
    return same


def digest_of(engine, job):
    """The digest of a Job that is not ended early, as the watchdog of an observed run might."""
    sink = _Digesting(Digest(Sources(engine.config)))
    engine.run(job, sink=sink)
    return sink.digest.value()


@dataclass(frozen=True)
class _Digesting:
    """A Sink."""

    digest: Digest

    def on_clock(self, clock, records, probe):
        for index, raw in records:
            self.digest.add(clock, index, raw)
        return False


def difference_of(summary, arena, expected, image):
    """The first difference of a board's run from the Outcome of the simulation, or None."""
    if summary.running:
        ran = count(summary.clock, "clock")
        return f"the board has run for {ran} and continues; the simulation ended at clock {expected.clocks}"
    if (summary.clock, summary.ending) != (expected.clocks, expected.ending):
        return (f"the board's run ended at clock {summary.clock} ({summary.ending.value}), the simulation's at clock "
                f"{expected.clocks} ({expected.ending.value})")
    for address, (found, wanted) in enumerate(zip(arena, expected.arena, strict=True)):
        if found != wanted:
            what = f"{image.name_of(address)} (arena word {address:#x})"
            return f"{what} is {found:#x} on the board and {wanted:#x} in the simulation"
    return None
