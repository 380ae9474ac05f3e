"""A hunt on a board: the board makes the runs, and a simulation repeats its finding and must agree."""

import time
from dataclasses import asdict, dataclass, replace
from itertools import count

from rtl.boards.wire import Identity
from rtl.monitor import FLAGS
from rtl.schedule import ScheduleKind
from sim.engines.spec import EngineSpec
from sim.errors import InputError
from sim.files import make_folder
from sim.hunt.explanation import Explanation, explain, ignored, keep
from sim.hunt.store import Finding
from sim.hunt.work import plan_of
from sim.runs.monitor import OVERFLOW, proven
from sim.runs.plan import FAULTS, Plan, most
from sim.runs.run import run as observe
from sim.spelling import closest

from .run import difference_of, digest_of
from .session import Summary

__all__ = ["HuntOnBoard", "all_plans", "hunt", "plan_with"]

#: The number of runs per plan: a hunt needs many plans and many seeds, and a new plan costs two dozen requests.
_ROW = 4096
_SEEDS = 1 << 32
#: The default plan of each kind.
_PLANS = {
    "random": Plan(kind=ScheduleKind.RANDOM, stall=24, hold_drain=8, hold_interrupt=8, hold_message=8),
    "pct": Plan(kind=ScheduleKind.PCT, hold_drain=8, hold_interrupt=8, hold_message=8, changes=3, horizon=11),
    "bounded": Plan(kind=ScheduleKind.BOUNDED, stall=24, hold_drain=8, hold_interrupt=8, hold_message=8, delay=5),
}
_FIELDS = [name for name in Plan.__dataclass_fields__ if name not in ("kind", *FAULTS)]


@dataclass(frozen=True)
class HuntOnBoard:
    """The result of a hunt.

    identity : of the board.  runs, seconds : number of runs, and their time.  by_oracles : number of runs judged by the oracles.
    number, plan, summary, flags : of the last run, from the board; if the board has found something, it is in this run.
    difference : the first difference between that run and its simulation, as a sentence, or None.
    violations, disagreements : as in ``sim.hunt.hunt.Report``; empty if there is a difference.
    repeated : number of requests sent again.
    """

    identity: Identity
    runs: int
    seconds: float
    by_oracles: int
    number: int
    plan: Plan
    summary: Summary
    flags: dict[str, int]
    difference: str | None
    violations: tuple[Finding, ...]
    disagreements: tuple[str, ...]
    repeated: int

    @property
    def clean(self):
        """Whether nothing was found, and the last run equals its simulation."""
        return self.difference is None and not self.violations and not self.disagreements

    def to_json(self):
        plan = {name: value.name.lower() if name == "kind" else value for name, value in self.plan.as_const().items()
                if name not in FAULTS}
        return {
            "equal": self.difference is None,
            "runs": self.runs,
            "seconds": self.seconds,
            "runs_per_second": self.runs / self.seconds,
            "by_oracles": self.by_oracles,
            "cores": self.identity.config.n_cores,
            "run": {"number": self.number, "plan": plan, "clock": self.summary.clock, "ending": self.summary.ending.value,
                    "flags": self.flags},
            "violations": [asdict(item) for item in self.violations],
            "disagreements": list(self.disagreements),
            "difference": self.difference,
            "repeated": self.repeated,
        }


def plan_with(kind, assignments):
    """The Plan of a kind (random, pct, bounded), with the ``FIELD=VALUE`` settings of ``--plan``. Raises InputError."""
    from sim.runs.settings import constants

    if kind not in _PLANS:
        raise InputError(f"--kind {kind}: there is no such kind of schedule{closest(kind, _PLANS)} "
                         f"(there are: {', '.join(_PLANS)})")
    values = constants(assignments, "--plan")
    for name, value in values.items():
        if name not in _FIELDS:
            raise InputError(f"--plan {name}={value}: a plan has no such field{closest(name, _FIELDS)} "
                             f"(there are: {', '.join(_FIELDS)})")
        if not 0 <= value <= most(name):
            raise InputError(f"--plan {name}={value}: must be from 0 to {most(name)}")
    return replace(_PLANS[kind], **values)


def all_plans(first):
    """Plans for ``hunt``: those of a hunt in simulation, starting with number ``first``."""
    return ((plan_of(number), _ROW) for number in count(first))


def hunt(session, prepared, plans, *, runs, out, ignore=(), found=lambda finding: None, tell=lambda line: None,
         progress=lambda text: None):
    """Hunt with a Prepared on a board. Returns the HuntOnBoard.

    plans : (Plan, number of runs with it), one after the other. The first run has the seed of the plan; each further run has the
        next seed.
    runs : the most runs in all: the hunt ends at the first run with a violation.
    out : folder for the schedules of findings.  ignore : flags and oracles to ignore.
    found : called with each Finding, after its file is written.
    tell, progress : called with remarks, and with the current activity.
    Raises InputError if the board has no Hunter, BoardError if it stops answering.
    """
    if session.identity.room is None:
        raise InputError(f"{session.link.name}: the bitstream has no Hunter; build one with crosscall synth --hunter")
    make_folder(out)
    return _Hunt(session, prepared, ignored(ignore), tell, progress).run(plans, runs, out, found)


class _Hunt:
    """One hunt."""

    def __init__(self, session, prepared, ignore, tell, progress):
        self._session, self._prepared, self._progress = session, prepared, progress
        self._ignore, self._flags = ignore, frozenset(ignore) & FLAGS.keys() - {OVERFLOW}
        # With the board's Room, so that both Monitors see the same.
        self._engine = EngineSpec(session.config, room=session.identity.room).make(tell)
        self._done = self._by_oracles = 0

    def run(self, plans, runs, out, found):
        session, prepared = self._session, self._prepared
        session.load(prepared.contents, prepared.run.straps, lambda done, of: self._progress(f"loading word {done} of {of}"))
        began = time.monotonic()
        for plan, hunted in self._rows(plans, runs):
            seconds = time.monotonic() - began
            summary, difference, explanation, result = self._look(plan, hunted.flags)
            if difference or explanation.seen or explanation.disagreements:
                break
        number, findings = self._done - 1, []
        for seen in explanation.seen:
            findings.append(keep(out, prepared, number, seen, result))
            found(findings[-1])
        return HuntOnBoard(session.identity, self._done, seconds, self._by_oracles, number, plan, summary, hunted.flags, difference,
                           tuple(findings), tuple(f"run {number}: {sentence}" for sentence in explanation.disagreements.values()),
                           session.link.repeated)

    def _rows(self, plans, runs):
        """Yield (Plan, Hunted) of each run to examine (with flags, or the last one), while the board stands at its end."""
        for plan, left in plans:
            while left:
                hunted = self._row(plan, min(left, runs - self._done))
                self._done += hunted.number + 1
                left -= hunted.number + 1
                of_it = _later(plan, hunted.number)
                plan = _later(of_it, 1)
                if hunted.flags or self._done == runs:
                    yield of_it, hunted
                if self._done == runs:
                    return

    def _row(self, plan, runs):
        """The Hunted of at most this many runs."""
        began, before = time.monotonic(), self._done

        def told(number):
            seconds = time.monotonic() - began
            self._progress(f"run {before + number}" + (f", {number / seconds:.0f} per second" if number and seconds else ""))

        return self._session.hunt(next(self._prepared.jobs([plan])), runs, ignore=self._flags, progress=told)

    def _look(self, plan, flags):
        """(Summary, difference, Explanation, Result) of the run that the board has just ended."""
        self._progress("simulating")
        summary, digest = self._session.summary(), self._session.digest()
        expected = next(self._engine.run_many(self._prepared.jobs([plan]), arena=True))
        difference = difference_of(summary, self._session.arena(), expected, self._prepared.image)
        difference = difference or self._difference_of_flags(flags, expected.flags) or self._difference_of_records(digest, plan)
        if difference or not flags:
            return summary, difference, Explanation([], {}), None
        by_oracles = OVERFLOW in flags
        self._by_oracles += by_oracles
        result = observe(self._prepared.under(plan=plan), engine=self._engine, record=True)
        return summary, None, explain(proven(flags), result, ignore=self._ignore, by_oracles=by_oracles), result

    def _difference_of_flags(self, found, expected):
        """The first difference in the flags, as a sentence, or None."""
        for flag in FLAGS:
            here, there = found.get(flag), expected.get(flag) if flag not in self._flags else None
            if here != there:
                return f"{_said('the board', flag, here)}, and {_said('the simulation', flag, there)}"
        return None

    def _difference_of_records(self, digest, plan):
        """The difference in the digest of all records, as a sentence, or None; None without a Digest."""
        if digest is None:
            return None
        expected = digest_of(self._engine, next(self._prepared.jobs([plan])))
        if digest == expected:
            return None
        return f"the digest of all records is {digest:#010x} on the board, and {expected:#010x} in the simulation"


def _said(who, flag, clock):
    return f"the Monitor of {who} does not flag {flag}" if clock is None else f"the Monitor of {who} flags {flag} at clock {clock}"


def _later(plan, runs):
    """The Plan of a run this many runs later."""
    return replace(plan, seed=(plan.seed + runs) % _SEEDS)
