"""A search: what one Prepared violates, in its own run and then under one schedule after the other, as they come.

The Monitor sees all runs, many at a time; the oracles judge those that it flags.
"""

from dataclasses import dataclass
from itertools import chain, islice

from rtl.monitor import FLAGS
from sim.runs.monitor import ORACLES_OF_FLAG, OVERFLOW
from sim.runs.run import run

from .work import plan_of

__all__ = ["Hit", "judge", "search", "watch"]

#: Runs that an engine's lanes get at a time; lanes that finish early wait for the rest of their row.
_ROW = 64


@dataclass(frozen=True)
class Hit:
    """A run that violates something.

    number : of its schedule; None: the run without a schedule.  violations : those that count, by clock; at least one.
    result : the whole Result, with its schedule.
    """

    number: int | None
    violations: tuple
    result: object

    @property
    def first(self):
        """The first violation that counts."""
        return self.violations[0]

    @property
    def repeatable(self):
        """A Prepared that repeats exactly this run, whatever draws schedules by then."""
        return self.result.prepared.under(schedule=self.result.schedule, violation=(self.first.oracle, self.first.clock))


def search(prepared, engine, *, runs, first=0, wanted=lambda oracle: True, plans=plan_of, by_oracles=False):
    """Yield a Hit for each run that violates a ``wanted`` oracle: first the run without a schedule, then the runs from ``first`` to
    before ``first + runs``.

    The oracles look at the runs that the Monitor flags or cannot remember in full. What only the Monitor has seen is no Hit (a hunt
    would report a disagreement).

    engine : any engine of the machine of ``prepared``.  plans : number -> Plan.
    by_oracles : the oracles look at every run: slow, but some see what has no flag, or only a weaker one.
    """
    suspects = numbers = range(first, first + runs)
    if not by_oracles:
        flags = {flag for flag in FLAGS if flag == OVERFLOW or any(map(wanted, ORACLES_OF_FLAG[flag]))}
        suspects = (number for number, seen in watch(prepared, engine, numbers, plans=plans) if seen.keys() & flags)
    for number in chain([None], suspects):
        hit = judge(prepared, engine, number, wanted=wanted, plans=plans)
        if hit is not None:
            yield hit


def watch(prepared, engine, numbers, *, plans=plan_of):
    """Yield (number, flags) of each of these runs, in order. flags : of the Monitor: name -> clock.

    An engine with lanes runs a row of them at a time, any other runs one at a time, on demand.
    """
    row = _ROW if engine.lanes > 1 else 1
    numbers = iter(numbers)
    while given := tuple(islice(numbers, row)):
        outcomes = engine.run_many(prepared.jobs(_plan(prepared, number, plans) for number in given))
        # The whole row, before the caller runs something else on the engine.
        yield from [(number, outcome.flags) for number, outcome in zip(given, outcomes, strict=True)]


def judge(prepared, engine, number, *, wanted=lambda oracle: True, plans=plan_of):
    """The Hit of a run, judged by the oracles, or None."""
    result = run(prepared.under(plan=_plan(prepared, number, plans)), engine=engine, record=True)
    violations = tuple(item for item in result.violations if wanted(item.oracle))
    return Hit(number, violations, result) if violations else None


def _plan(prepared, number, plans):
    return prepared.run.plan if number is None else plans(number)
