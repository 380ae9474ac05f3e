"""What holds a call up: for each target that is not done with it, how far it has come there, and, by experiment, the cause.

The words are those of the kernel's csd-lock debugging (CONFIG_CSD_LOCK_WAIT_DEBUG), which reports the same three states, and sends
the interrupt again.
"""

from dataclasses import dataclass, replace
from enum import Enum

from sim.calls import CallTracker, Stage
from sim.engines.engine import Ending

__all__ = ["Cause", "Stall", "Target", "causes", "stalls"]

#: At most this many stalls are diagnosed: each takes a run.
_TRIED = 8


class Target(Enum):
    """What a target does."""

    #: The call has not reached it: the call waits for something else.
    UNASKED = "not asked yet"
    THIS = "handling this request"
    PRIOR = "handling prior request"
    UNRESPONSIVE = "unresponsive"


class Cause(Enum):
    """The outcome if the target is interrupted once more."""

    #: It continues.
    INTERRUPT = "the interrupt was lost"
    #: It does not continue: the handler finds nothing, or is not reached.
    QUEUE = "the queue or list is at fault"


@dataclass(frozen=True)
class Stall:
    """A target of an unfinished call.

    call : its id.  stage, clock : the last stage reached there, and when; None: none.
    does : what the target does.  other : the call that it handles instead.
    vector : of the last interrupt that it was sent, for whatever call; None: none.
    cause : None: unknown.
    """

    call: str
    target: int
    stage: str | None
    clock: int | None
    does: Target
    other: str | None
    vector: int | None
    cause: Cause | None = None

    @property
    def sentence(self):
        does = self.does.value + (f" ({self.other})" if self.other else "")
        reached = f", last {self.stage} at {self.clock}" if self.stage else ""
        return (f"call {self.call}, core {self.target}: {does}{reached}"
                + (f"; interrupted once more, {_TOLD[self.cause]}" if self.cause else ""))

    def to_json(self):
        return {"call": self.call, "target": self.target, "stage": self.stage, "clock": self.clock, "does": self.does.value,
                "other": self.other, "vector": self.vector, "cause": self.cause and self.cause.value, "sentence": self.sentence}


_TOLD = {Cause.INTERRUPT: f"it continues: {Cause.INTERRUPT.value}", Cause.QUEUE: f"it does not continue: {Cause.QUEUE.value}"}


def stalls(tracker: CallTracker) -> tuple[Stall, ...]:
    """The Stalls of all unfinished calls, at the end of a run."""
    found = []
    for call in tracker.calls:
        for target in () if call.over else call.unfinished:
            visit = call.visits.get(target)
            stage = visit.last if visit is not None else Stage.NONE
            handled = tracker.handled(target)
            if stage is Stage.NONE:
                does = Target.UNASKED
            else:
                does = Target.UNRESPONSIVE if handled is None else Target.THIS if handled is call else Target.PRIOR
            found.append(Stall(call.id, target, stage.text or None, visit.at(stage) if stage else None, does,
                               handled.id if does is Target.PRIOR else None, tracker.vectors.get(target)))
    return tuple(found)


def causes(result, engine, run):
    """The Result with the causes of its Stalls, where the target is unresponsive: the run is repeated, and the target is
    interrupted once more while nothing else happens.

    engine : of its machine.  run : ``sim.runs.run.run``.
    """
    known, tried = [], 0
    for stall in result.stalls:
        if stall.does is Target.UNRESPONSIVE and stall.vector is not None and tried < _TRIED:
            tried += 1
            again = run(_interrupted(result, stall), engine=engine)
            still = {(item.call, item.target) for item in again.stalls}
            stall = replace(stall, cause=Cause.QUEUE if (stall.call, stall.target) in still else Cause.INTERRUPT)
        known.append(stall)
    return replace(result, stalls=tuple(known))


def _interrupted(result, stall):
    """The same run, with one more interrupt."""
    prepared = result.prepared
    quiet = result.ending is Ending.QUIET
    clock = max(0, result.clocks - (2 if quiet else prepared.patience // 2))
    plan = replace(prepared.run.plan, resend_clock=clock, resend_target=stall.target, resend_vector=stall.vector)
    return prepared.under(plan=plan, max_clocks=prepared.run.max_clocks + prepared.patience)
