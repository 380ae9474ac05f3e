"""A run, described by names: everything that it depends on, so that it can be repeated, also on another machine."""

import hashlib
from dataclasses import dataclass, field

from rtl.config import MachineConfig, Straps
from rtl.schedule import ScheduleKind
from sim.errors import InputError

from .plan import Plan

__all__ = ["OfLitmus", "OfScenario", "Run", "contents_digest", "limit_of"]

#: The default limit of a run, in clocks. A stuck run is noticed long before.
_MAX_CLOCKS = 100_000


def contents_digest(contents):
    """Identifies Contents: equal for equal words, wherever they come from."""
    digest = hashlib.sha256()
    for address, word in enumerate(contents.microcode):
        digest.update(f"microcode {address:x} {word:x}\n".encode())
    for address, word in sorted(contents.arena.items()):
        if word:
            digest.update(f"arena {address:x} {word:x}\n".encode())
    return digest.hexdigest()


def limit_of(n_cores):
    """The clocks after which a run ends, unless it is told otherwise. The work grows with the square of the cores, because each may
    call all."""
    return _MAX_CLOCKS * max(64, n_cores**2) // 64


@dataclass(frozen=True, kw_only=True)
class OfScenario:
    """The program of a run: a scenario, seed, protocol, defines, without : as ``sim.runs.prepare.prepare`` takes them."""

    scenario: str
    seed: int = 0
    protocol: str
    defines: dict[str, int] = field(default_factory=dict)
    without: tuple[str, ...] = ()

    def __str__(self):
        return f'scenario "{self.scenario}" with protocol "{self.protocol}"'


@dataclass(frozen=True, kw_only=True)
class OfLitmus:
    """The program of a run: a litmus test.

    litmus : path of the test.  mode : of the local APICs, by its name; None if it sends no interrupts.
    delays : by thread: how many clocks later than the first it may begin.
    """

    litmus: str
    mode: str | None
    delays: tuple[int, ...]

    def __str__(self):
        return f'litmus test "{self.litmus}"'


@dataclass(frozen=True, kw_only=True)
class Run:
    """Everything that a run depends on. Picklable, and has a JSON form (``sim.runs.schedule``).

    subject : the program.  config, straps : of the machine.
    plan : what draws the schedule.
    schedule : the schedule in force, in the form of an Outcome; None: the plan draws it again.
    max_clocks, patience, visits : limits; None: those of the scenario.
    window : the clocks that the waves show; None: the interesting ones (see ``sim.runs.run.run``).
    contents : the ``contents_digest`` of the program's contents; None: any.
    violation : the flag that the run sets, the oracle that it violates, or the final state of a litmus test, and its clock; or
        None.
    files : field of the subject -> the text of the user's own file that it names, so that the Run can move to another machine.
    """

    subject: OfScenario | OfLitmus
    config: MachineConfig
    straps: Straps
    plan: Plan = Plan()
    schedule: tuple[tuple[int, int], ...] | None = None
    max_clocks: int = _MAX_CLOCKS
    patience: int | None = None
    visits: int | None = None
    window: range | None = None
    contents: str | None = None
    violation: tuple[str, int] | None = None
    files: dict[str, str] = field(default_factory=dict)

    @property
    def driven(self):
        """The ``plan`` and ``replay`` of the Job."""
        if self.schedule is None:
            return {"plan": self.plan, "replay": ()}
        return {"plan": Plan(kind=ScheduleKind.REPLAY, **self.plan.faults), "replay": self.schedule}

    def check(self, contents, *, file=None):
        """Raise InputError if these are not the Contents of the run."""
        found = contents_digest(contents)
        if self.contents not in (None, found):
            raise InputError(f"the run cannot be repeated: microcode and arena of {self.subject} have changed (digest "
                             f"{found[:12]}, recorded {self.contents[:12]}); the {type(self.subject).__name__[2:].lower()}, the "
                             "protocol or the assembler has changed since", file=file)

    def check_violation(self, seen, *, file=None):
        """Raise InputError if this was another run: ``seen`` is what was violated -> its first clock."""
        if self.violation is None:
            return
        flag, clock = self.violation
        if seen.get(flag) != clock:
            found = f"came at clock {seen[flag]}" if flag in seen else "did not come"
            raise InputError(f"this is not the run that was recorded: {flag} {found}, recorded at clock {clock}; the hardware has "
                             "changed since", file=file)
