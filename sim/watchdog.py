"""Decides that a run is stuck, and reports which calls are, and how far each of their targets has come."""

from rtl.events import Event

from .calls import Stage
from .engines.engine import Ending
from .oracles import ORACLES, Verdict, Violation
from .records import CommitRecord, CoreRecord

__all__ = ["JUDGES", "Watchdog"]


class Watchdog:
    """A run makes progress while there are events and words change. A failed try for a spin lock is no progress.

    The progress of a function counts: when ``patience`` clocks without progress have passed, and some core is in a function (RUN
    without RAN) and has had no record during the second half of them, that is progress, and the count starts again. (A function
    that only works is silent; one that spins reads memory.)

    It is fed after the tracker, and has ``violations`` like an oracle. An endless loop that changes words (a walker in a ring) is
    progress here: O10 detects it, and ``sentences()`` lists what is unfinished when the run's clocks end.

    Parameters
    ----------
    tracker : the CallTracker of the run.
    patience : clocks without progress until the run is stuck. Longer than the longest delay of the scenario: a core that lets
        clocks pass is silent all the while.

    Members
    -------
    violations, verdict, exercised, lacks : as for an Oracle. ``exercised`` counts clocks.
    """

    name = "WATCHDOG"
    title = "the run makes progress until it ends"

    def __init__(self, tracker, *, patience):
        self.patience = patience
        self.violations = []
        self.exercised = 0
        self.lacks = ()
        self._tracker = tracker
        self._progress = 0            # clock of the last sign of progress
        self._last = [0] * tracker.config.n_cores         # clock of each core's last record
        self._functions = [0] * tracker.config.n_cores    # functions that it is in

    @property
    def verdict(self):
        return Verdict.VIOLATED if self.violations else Verdict.HOLDS

    def add(self, record):
        """The next record. Returns True as soon as the run is stuck, which ends it (see ``Sink.on_clock``)."""
        if self.violations:
            return True
        kind = type(record)
        if kind is CoreRecord:
            progress = record.event is not Event.NONE and not (record.event is Event.LOCK_TRY and record.result)
        else:
            progress = kind is not CommitRecord or record.old != record.new
        # The end of a silence that was too long does not undo it.
        if record.clock - self._progress > self.patience and self._silent(record.clock - progress):
            self._stuck()
            return True
        if progress:
            self._progress = record.clock
        if kind is CoreRecord:
            self._last[record.core] = record.clock
            if self._tracker.run is not None:
                self._functions[record.core] += 1 if record.event is Event.RUN else -1
        return False

    def finish(self, outcome):
        """The run has ended. Unless it is quiet, it may have been stuck without a single record since."""
        self.exercised = outcome.clocks
        if not self.violations and outcome.ending is not Ending.QUIET and self._silent(outcome.clocks - 1):
            self._stuck()

    def to_json(self):
        return {"name": self.name, "title": self.title, "verdict": self.verdict.value, "exercised": self.exercised, "lacks": []}

    def _silent(self, clock):
        """Whether the time without progress before this clock was too long."""
        while clock - self._progress > self.patience:
            half = self._progress + self.patience // 2
            if not any(count and last <= half for count, last in zip(self._functions, self._last, strict=True)):
                return True
            self._progress += self.patience + 1
        return False

    def sentences(self):
        """One for each unfinished call: how far it has come."""
        return [self._sentence(call) for call in self._tracker.calls if not call.over]

    def _stuck(self):
        clock = self._progress + self.patience + 1
        stuck = [call for call in self._tracker.calls if not call.over]
        for call in stuck:
            cores = tuple(sorted({call.caller, *call.unfinished}))
            self.violations.append(Violation(self.name, clock, (call.id,), cores, self._sentence(call)))
        if not stuck:
            self.violations.append(Violation(self.name, clock, (), (), f"nothing has happened since clock {self._progress}"))

    def _sentence(self, call):
        last = next(reversed(call.stages))
        if call.waiting:
            what = "waits"
        elif call.returned:
            what = f"returned at {call.stages[last]} and is not over"
        else:
            what = f"got no further than {last.text} at {call.stages[last]}"
        targets = ", ".join(self._reached(call, core) for core in sorted(call.targets))
        # A message that vanished is a reason, whatever else there is to say.
        return "; ".join([f"{call} {what}: {targets}" if targets else f"{call} {what}", *call.lost])

    def _reached(self, call, core):
        visit = call.visits[core]
        if call.exited(core):
            return f"core {core} reached exit"
        if visit.at(Stage.HANDLE) is not None:
            return f"core {core} reached {visit.last.text} at {visit.at(visit.last)}"
        sent, delivered, accepted = visit.at(Stage.IPI), visit.at(Stage.DELIVERED), visit.at(Stage.GOTIPI)
        if accepted is not None:
            found = "found its queue empty" if visit.at(Stage.EMPTY) is not None else "did not take the call"
            return f"core {core} was interrupted at {accepted} and {found}"
        if sent is not None:
            how = f"ipi sent at {sent}, " + ("not delivered" if delivered is None else f"delivered at {delivered}")
        elif visit.at(Stage.NOIPI) is not None:
            how = f"noipi at {visit.at(Stage.NOIPI)}: its queue was not empty"
        else:
            how = "no ipi was sent"
        return f"core {core} was never interrupted ({how})"


#: The names of all that can be violated, in the order in which they are shown.
JUDGES = tuple(judge.name for judge in (*ORACLES, Watchdog))
