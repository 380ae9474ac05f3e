"""A search: what one Prepared violates, in its own run and then under schedule after schedule, one by one, as they come.

The Monitor sees all runs, many at a time; the oracles judge those of which it says something.
"""

from dataclasses import dataclass
from itertools import chain, islice

from rtl.monitor import FLAGS
from sim.runs.monitor import ORACLES_OF_FLAG, OVERFLOW
from sim.runs.run import run

from .work import plan_of

__all__ = ["Hit", "judge", "search", "watch"]

#: Runs that the lanes of an engine are given at a time; those that are done wait for the others of their row.
_ROW = 64


@dataclass(frozen=True)
class Hit:
    """A run that violates something.

    number : of its schedule, or None: it is the run as it is.  violations : those that count, by clock; at least one.
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
        """Its Prepared, so that exactly this is run again, whatever draws schedules then."""
        return self.result.prepared.under(schedule=self.result.schedule, violation=(self.first.oracle, self.first.clock))


def search(prepared, engine, *, runs, first=0, wanted=lambda oracle: True, plans=plan_of, by_oracles=False):
    """Yield a Hit for each run that violates an oracle that is ``wanted``: the run as it is, then those with the numbers from
    ``first`` to before ``first + runs``.

    The Monitor says which runs are looked at by the oracles; a run of which it cannot remember all is, too. What only the Monitor
    has seen is no Hit (a hunt would say that they disagree).

    engine : of the machine of ``prepared``; any will do.  plans : number -> Plan.
    by_oracles : the oracles look at every run: slow, but some see what has no flag, or not enough of one.
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
    """Yield (number, flags) of each of these runs, in their order. flags : of the Monitor: name -> clock.

    An engine that runs many at a time is given a row of them, any other one after the other, as they are asked for.
    """
    row = _ROW if engine.lanes > 1 else 1
    numbers = iter(numbers)
    while given := tuple(islice(numbers, row)):
        outcomes = engine.run_many(prepared.jobs(_plan(prepared, number, plans) for number in given))
        # All of a row, before anybody has the engine run something else.
        yield from [(number, outcome.flags) for number, outcome in zip(given, outcomes, strict=True)]


def judge(prepared, engine, number, *, wanted=lambda oracle: True, plans=plan_of):
    """The Hit of a run, judged by the oracles, or None."""
    result = run(prepared.under(plan=_plan(prepared, number, plans)), engine=engine, record=True)
    violations = tuple(item for item in result.violations if wanted(item.oracle))
    return Hit(number, violations, result) if violations else None


def _plan(prepared, number, plans):
    return prepared.run.plan if number is None else plans(number)
