"""Explains a run: the flags of the Monitor with the oracles that see the same, and what only one of them sees."""

from typing import NamedTuple

from sim.errors import InputError
from sim.runs.monitor import ORACLES_OF_FLAG, PARTIAL
from sim.runs.schedule import write_run
from sim.spelling import closest
from sim.watchdog import JUDGES

from .store import Finding
from .work import FLAG_OF_ORACLE

__all__ = ["Explanation", "explain", "ignored", "keep"]


class Explanation(NamedTuple):
    """seen : (flag, or oracle that has none; clock; Violation) of each finding.  disagreements : the same names -> a sentence."""

    seen: list
    disagreements: dict


def explain(flags, result, *, ignore=frozenset(), by_oracles=False):
    """The Explanation of a run.

    flags : what the Monitor proved: name -> clock.  result : the Result of the same run, with all records.
    ignore : as ``ignored`` gives it.  by_oracles : the run was judged by them, because the Monitor did not see all of it.
    """
    explained, seen, disagreements = {}, [], {}
    for violation in result.violations:
        explained.setdefault(violation.oracle, violation)
    for flag, clock in flags.items():
        violation = next((explained[oracle] for oracle in ORACLES_OF_FLAG[flag] if oracle in explained), None)
        if violation is not None:
            seen.append((flag, clock, violation))
        # The oracles have not seen what happens after the end of a run that is stuck.
        elif clock <= result.clocks:
            disagreements[flag] = (f"the monitor flags {flag} at clock {clock}, but {' and '.join(ORACLES_OF_FLAG[flag])} "
                                   f"{'hold' if len(ORACLES_OF_FLAG[flag]) > 1 else 'holds'}")
    for oracle, violation in explained.items():
        flag = FLAG_OF_ORACLE.get(oracle)
        if {oracle, flag} & ignore:
            continue
        if flag is None or by_oracles or flag in PARTIAL and flag not in flags:
            seen.append((flag or oracle, violation.clock, violation))
        elif flag not in flags:
            disagreements[flag] = f"{oracle} is violated at clock {violation.clock}, but the monitor does not flag {flag}"
    return Explanation(seen, disagreements)


def keep(out, prepared, number, seen, result):
    """The Finding of an entry of ``Explanation.seen``, whose schedule is then in the folder ``out``. number : of the run."""
    flag, clock, violation = seen
    path = out / f"{prepared.scenario.name}.{flag}.schedule"
    write_run(path, result.prepared.recorded(schedule=result.schedule, violation=(flag, clock)))
    return Finding(violation.oracle, flag, number, clock, violation.sentence, str(path))


def ignored(names):
    """The set of these flags and oracles. Raises InputError for an unknown name."""
    known = (*ORACLES_OF_FLAG, *JUDGES)
    for name in names:
        if name not in known:
            raise InputError(f"--ignore {name}: there is no such flag or oracle{closest(name, known)} "
                             f"(there are: {', '.join(known)})")
    # A flag and its oracles are one finding.
    return frozenset(names) | {FLAG_OF_ORACLE.get(name, name) for name in names} | {
        oracle for name in names for oracle in ORACLES_OF_FLAG.get(name, ())}
