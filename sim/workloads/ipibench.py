"""ipibench: what one call costs an idle machine, mode by mode, after Yury Norov's benchmark (LKML, December 2017)."""

from dataclasses import dataclass
from statistics import mean

from rtl.events import Event
from sim.errors import InputError
from sim.records import CoreRecord
from sim.texts import count

from .scenario import chosen, prepare_workload, scenario_text

__all__ = ["MODES", "Bench", "Watch", "rows"]

#: Mode -> the command to repeat. Each caller waits.
MODES = {
    "dry-run": {"call": "nothing"},
    "self": {"call": "single", "target": "self", "wait": True},
    "normal": {"call": "single", "target": "next", "wait": True},
    "broadcast": {"call": "all", "wait": True},
    "broadcast-lock": {"call": "all", "func": "ipibench_lock", "wait": True},
}


@dataclass(frozen=True)
class Bench:
    """What to run. cores : of the machine.  modes : of MODES; none: all.  iterations : calls of each."""

    cores: int
    modes: tuple[str, ...] = ()
    iterations: int = 50

    def __post_init__(self):
        if self.cores < 2:
            raise InputError(f"--cores {self.cores}: a call needs two")
        object.__setattr__(self, "modes", chosen("--mode", self.modes, MODES))

    def prepare(self, path, **options):
        """Write the scenario to a file and prepare it. options : as ``prepare`` takes them. Raises InputError."""
        commands = [{**MODES[mode], "repeat": self.iterations} for mode in self.modes]
        return prepare_workload(path, lambda depth: scenario_text(
            ["What crosscall ipibench runs; docs/workloads.md."], f"ipibench: {count(self.cores, 'core')}", self.cores,
            {0: commands}, tables={"defines": {"IPIBENCH": 1}}, arena_depth=depth), **options)


@dataclass(frozen=True)
class Operation:
    """One repetition.

    total : clocks from the request to the result.  delivered : until the last core began the function; None: no core ran one.
    """

    total: int
    delivered: int | None


class Watch:
    """Times the commands of core 0: a ``watch`` for ``sim.runs.run.run``. operations : the finished ones, in order."""

    def __init__(self):
        self.operations = []
        self._issued = self._begun = None

    def add(self, record, tracker):
        if type(record) is not CoreRecord:
            return
        if record.event is Event.RUN:
            self._begun = record.clock
        elif record.core == 0 and record.event is Event.ISSUE:
            self._issued, self._begun = record.clock, None
        elif record.core == 0 and record.event is Event.RESULT:
            self.operations.append(Operation(record.clock - self._issued, self._begun and self._begun - self._issued))


def rows(bench, watch, result):
    """A row for each mode, as plain data. watch : of the run that gave the Result.

    delivered, total : on average, as Operation has them.  least, most : of total.  iterations : how many finished.
    ok : all finished, and the run violates nothing.
    """
    found = []
    for number, mode in enumerate(bench.modes):
        these = watch.operations[number * bench.iterations:(number + 1) * bench.iterations]
        totals = [item.total for item in these]
        found.append({
            "protocol": result.prepared.image.path.stem, "cores": bench.cores, "memory": result.prepared.settings.memory,
            "mode": mode, "iterations": len(these),
            "delivered": _mean([item.delivered for item in these if item.delivered is not None]), "total": _mean(totals),
            "least": min(totals, default=None), "most": max(totals, default=None),
            "ok": len(these) == bench.iterations and result.ok,
        })
    return found


def _mean(numbers):
    return round(mean(numbers), 1) if numbers else None
