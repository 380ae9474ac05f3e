"""What the oracles say of a stream."""

from sim.calls import CallTracker
from sim.engines.engine import Ending
from sim.oracles import Jury, make_oracles

__all__ = ["CALL", "found", "judge", "named", "verdict"]

#: As sentences name the call that most streams are about.
CALL = "call 0.0 smp_call_function_many from core 0"


def judge(stream, ending=Ending.QUIET, **options):
    """A jury that has seen the whole run. options : of ``make_oracles``."""
    jury = Jury(make_oracles(stream.config, stream.image, **options))
    tracker = CallTracker.for_image(stream.config, stream.image, options.get("arena") or ())
    for record in stream.records:
        tracker.add(record)
        jury.add(record, tracker)
    jury.finish(stream.outcome(ending), tracker)
    return jury


def found(stream, ending=Ending.LIMIT, *, only=None, **options):
    """["O1: sentence", ...] of everything found in a run that has not come to rest, so that O3, O9, DATA and REST are silent.

    only : of this oracle alone.
    """
    violations = judge(stream, ending, **options).violations
    return [f"{item.oracle}: {item.sentence}" for item in violations if only in (None, item.oracle)]


def named(jury, name):
    """The oracle of this name."""
    return next(oracle for oracle in jury.oracles if oracle.name == name)


def verdict(stream, name, ending=Ending.QUIET, **options):
    """(verdict, how often it was exercised, what it lacks) of one oracle, as plain data."""
    data = named(judge(stream, ending, **options), name).to_json()
    return data["verdict"], data["exercised"], data["lacks"]
