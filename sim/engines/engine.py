"""What every engine offers."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from enum import Enum
from typing import Protocol

from rtl.config import MachineConfig, Straps
from sim.runs.monitor import ALL_SAID, Profile
from sim.runs.plan import Plan

__all__ = ["NEVER", "PLAIN", "Contents", "Ending", "Engine", "Job", "Outcome", "Sink"]

#: The plan that holds nobody back.
PLAIN = Plan()
#: The patience that no run exhausts.
NEVER = 0xFFFFFFFF


@dataclass(frozen=True)
class Contents:
    """What is in the memories when a run starts. What is not named is 0.

    microcode : raw words from address 0.  arena : address -> word.
    """

    microcode: Sequence[int]
    arena: Mapping[int, int]


class Sink(Protocol):
    """Who looks at a run. Clock 0 is the first clock with ``run`` high."""

    def on_clock(self, clock: int, records: Sequence[tuple[int, int]], probe: int | None) -> bool:
        """Called for every clock that has records, and for every clock if the probe is asked for.

        records : list of (source index, raw record), by index (see ``sim.records.Sources``).
        probe : the raw ``probe`` port, or None if it was not asked for.
        Returns True to end the run.
        """


class Ending(Enum):
    """Why a run ended."""

    #: Every core has halted, nothing is pending or under way.
    QUIET = "quiet"
    #: A core trapped (PANIC, FAULT, STACK_FAULT).
    TRAP = "trap"
    #: The sink asked for it.
    STOPPED = "stopped"
    #: ``max_clocks`` were run.
    LIMIT = "limit"


@dataclass(frozen=True)
class Outcome:
    """What came of a run.

    clocks : how many were run.  arena : its words at the end; None if nobody asked for it.

    flags : what the Monitor found: name -> clock of the first hit (see ``rtl.monitor.flags_layout``).
    schedule : if it was recorded: (clock, raw schedule in force from then on), one for each change from 0.
    """

    clocks: int
    ending: Ending
    arena: tuple[int, ...] | None
    flags: Mapping[str, int] = field(default_factory=dict)
    schedule: tuple[tuple[int, int], ...] | None = None


@dataclass(frozen=True)
class Job:
    """What a machine is told of one run: all that it depends on.

    max_clocks : the run ends after so many.
    plan : what draws the schedule.  replay : with the plan REPLAY: a schedule as it was recorded.
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
    """An elaborated (or compiled) machine, with its Monitor, that can run many jobs one after another."""

    #: As ``--engine`` takes it.
    name: str
    config: MachineConfig
    #: How many runs of ``run_many`` go on at once.
    lanes = 1

    @abstractmethod
    def run(self, job: Job, *, sink: Sink | None = None, probe: bool | range = False, record: bool = False) -> Outcome:
        """Load, run from reset to the end. Every call starts afresh.

        sink : None if nobody looks at the run; then it takes less time.
        probe : whether the sink is given the probe: always, never, or in a range of clocks.
        record : whether the Outcome has the schedule.
        """

    def run_many(self, jobs: Iterable[Job], *, arena: bool = False) -> Iterator[Outcome]:
        """The Outcome of each job, in their order, with its arena if that is asked for. The jobs are read as they are needed."""
        return map(self.run, jobs)
