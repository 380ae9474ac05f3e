"""A search: what one Prepared violates, in its own run and then under schedule after schedule, one by one, as they come."""

from dataclasses import dataclass
from itertools import islice

from rtl.monitor import FLAGS
from sim.runs.monitor import ORACLES_OF_FLAG, OVERFLOW
from sim.runs.run import run

from .work import plan_of

__all__ = ["Hit", "search"]

#: Runs that an engine is given at a time; lanes that are done wait for the others of their row.
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


def search(prepared, engine, *, runs, first=0, wanted=lambda oracle: True, plans=plan_of, by_oracles=False):
    """Yield a Hit for each run that violates an oracle that is ``wanted``: the run as it is, then those with the numbers from
    ``first`` to before ``first + runs``.

    The Monitor says which runs are looked at by the oracles; a run of which it cannot remember all is, too. What only the Monitor
    has seen is no Hit (a hunt would say that they disagree).

    engine : of the machine of ``prepared``; any will do.  plans : number -> Plan.
    by_oracles : the oracles look at every run: slow, but some see what has no flag, or not enough of one.
    """
    flags = {flag for flag in FLAGS if flag == OVERFLOW or any(map(wanted, ORACLES_OF_FLAG[flag]))}
    hit = _hit(None, run(prepared, engine=engine, record=True), wanted)
    if hit is not None:
        yield hit
    numbers = iter(range(first, first + runs))
    while row := tuple(islice(numbers, _ROW)):
        suspects = row
        if not by_oracles:
            outcomes = engine.run_many(prepared.jobs(map(plans, row)))
            suspects = [number for number, outcome in zip(row, outcomes, strict=True) if outcome.flags.keys() & flags]
        for number in suspects:
            hit = _hit(number, run(prepared.under(plan=plans(number)), engine=engine, record=True), wanted)
            if hit is not None:
                yield hit


def _hit(number, result, wanted):
    violations = tuple(item for item in result.violations if wanted(item.oracle))
    return Hit(number, violations, result) if violations else None
