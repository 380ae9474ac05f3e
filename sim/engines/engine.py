"""What every engine offers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from rtl.config import MachineConfig, Straps
from sim.monitor import ALL_SAID, Profile
from sim.schedules import Plan

__all__ = ["NEVER", "PLAIN", "Contents", "Ending", "Engine", "Outcome", "Sink"]

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
    """clocks : how many were run.  arena : its words at the end.

    flags : what the Monitor found: name -> clock of the first hit (see ``rtl.monitor.flags_layout``).
    schedule : if it was recorded: (clock, raw schedule in force from then on), one for each change from 0.
    """

    clocks: int
    ending: Ending
    arena: tuple[int, ...]
    flags: Mapping[str, int] = field(default_factory=dict)
    schedule: tuple[tuple[int, int], ...] | None = None


class Engine(Protocol):
    """An elaborated (or compiled) machine, with its Monitor, that can run many contents one after another."""

    #: As ``--engine`` takes it.
    name: str
    config: MachineConfig

    def run(self, contents: Contents, straps: Straps, *, max_clocks: int, sink: Sink | None, probe: bool | range = False,
            plan: Plan = PLAIN, patience: int = NEVER, profile: Profile = ALL_SAID,
            record: bool = False, replay: Sequence[tuple[int, int]] = ()) -> Outcome:
        """Load, run from reset to the end. Every call starts afresh.

        sink : None if nobody looks at the run; then it takes less time.
        probe : whether the sink is given the probe: always, never, or in a range of clocks.
        plan : what draws the schedule.  replay : with the plan REPLAY: a schedule as it was recorded.
        patience, profile : of the Monitor.  record : whether the Outcome has the schedule.
        """
