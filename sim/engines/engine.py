"""The interface of all engines."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from enum import Enum
from typing import Protocol

from rtl.config import MachineConfig, Straps
from sim.runs.monitor import ALL_SAID, Profile
from sim.runs.plan import Plan

__all__ = ["NEVER", "PLAIN", "Contents", "Ending", "Engine", "Job", "Outcome", "Sink"]

#: The plan that holds nothing up.
PLAIN = Plan()
#: The patience that no run exhausts.
NEVER = 0xFFFFFFFF


@dataclass(frozen=True)
class Contents:
    """What the memories contain when a run starts. Words that are not listed are 0.

    microcode : raw words from address 0.  arena : address -> word.
    """

    microcode: Sequence[int]
    arena: Mapping[int, int]


class Sink(Protocol):
    """The observer of a run. Clock 0 is the first clock with ``run`` high."""

    def on_clock(self, clock: int, records: Sequence[tuple[int, int]], probe: int | None) -> bool:
        """Called for every clock that has records, and for every clock if the probe is requested.

        records : list of (source index, raw record), by index (see ``sim.records.Sources``).
        probe : the raw ``probe`` port; None if it was not requested.
        Returns True to end the run.
        """


class Ending(Enum):
    """Why a run ended."""

    #: Every core has halted, and nothing is pending or in flight.
    QUIET = "quiet"
    #: A core trapped (PANIC, FAULT, STACK_FAULT).
    TRAP = "trap"
    #: The sink ended it.
    STOPPED = "stopped"
    #: ``max_clocks`` have run.
    LIMIT = "limit"


@dataclass(frozen=True)
class Outcome:
    """The result of a run.

    clocks : how many ran.  arena : its words at the end; None if it was not requested.
    flags : what the Monitor found: name -> clock of the first hit (see ``rtl.monitor.flags_layout``).
    schedule : if recorded: (clock, raw schedule in force from then on), one for each change from 0.
    """

    clocks: int
    ending: Ending
    arena: tuple[int, ...] | None
    flags: Mapping[str, int] = field(default_factory=dict)
    schedule: tuple[tuple[int, int], ...] | None = None


@dataclass(frozen=True)
class Job:
    """The inputs of one run: all that it depends on.

    max_clocks : the run ends after this many.
    plan : what draws the schedule.  replay : with the plan REPLAY: a recorded schedule.
    patience, profile : of the Monitor.
    """

    contents: Contents
    straps: Straps
    _: KW_ONLY
    max_clocks: int
    plan: Plan = PLAIN
    replay: tuple[tuple[int, int], ...] = ()
    patience: int = NEVER
    profile: Profile = ALL_SAID


class Engine(ABC):
    """An elaborated (or compiled) machine, with its Monitor, that runs any number of jobs one after the other."""

    #: Its value of ``--engine``.
    name: str
    config: MachineConfig
    #: How many runs ``run_many`` advances at once.
    lanes = 1

    @abstractmethod
    def run(self, job: Job, *, sink: Sink | None = None, probe: bool | range = False, record: bool = False) -> Outcome:
        """Load, and run from reset to the end. Every call starts afresh.

        sink : None: no observer; then the run takes less time.
        probe : when the sink gets the probe: always, never, or in a range of clocks.
        record : whether the Outcome includes the schedule.
        """

    def run_many(self, jobs: Iterable[Job], *, arena: bool = False) -> Iterator[Outcome]:
        """The Outcome of each job, in order, with its arena on request. Jobs are read only when they are needed."""
        return map(self.run, jobs)
