"""What a board is asked to do: say what it is, load, run, and be read."""

import time
from dataclasses import dataclass, replace

from amaranth.lib import data

from rtl.boards.wire import (
    HUNT_BITS,
    IDENTITY,
    VERSION,
    Identity,
    Operation,
    hunt_layout,
    orders_layout,
    summary_layout,
    vocabulary,
    word_octets,
)
from rtl.config import MachineConfig, straps_layout
from rtl.core.seen import status_layout
from rtl.monitor import FLAGS
from sim.engines.engine import Ending
from sim.errors import InputError

from .link import Link

__all__ = ["Hunted", "Session", "Summary"]

#: A number of clocks that no run has.
_ENDLESS = (1 << 32) - 1


@dataclass(frozen=True)
class Summary:
    """What a board says of a run: ``rtl.boards.wire.summary_layout``."""

    begun: bool
    running: bool
    quiet: bool
    trapped: bool
    clock: int

    @property
    def ending(self):
        """As an engine has it."""
        return Ending.TRAP if self.trapped else Ending.QUIET if self.quiet else Ending.LIMIT


@dataclass(frozen=True)
class Hunted:
    """What a board says of a hunt: ``rtl.boards.wire.Operation.READ_HUNT``.

    number : of the run that is going on, or was the last.  flags : what its Monitor has found: name -> clock.
    """

    going: bool
    number: int
    flags: dict[str, int]


class Session:
    """A board that has been asked who it is.

    Raises InputError if it was built by a crosscall whose contents or words mean something else; BoardError, here and in all that
    follows, if the board does not answer.

    identity : what it says. ``identity.config`` is its MachineConfig.  link : Link.
    """

    def __init__(self, port, *, patience=1.0):
        octets = word_octets(MachineConfig())
        self.link = Link(port, octets, patience=patience)
        version, words = self.link.read(Operation.IDENTIFY, 0, 2)
        if version != VERSION:
            raise InputError(f"{port.port}: the board speaks version {version} of the wire, and this crosscall version {VERSION}")
        if words != vocabulary():
            raise InputError(f"{port.port}: the bitstream was built by another version of crosscall, whose microwords or machines "
                             "differ; build it again")
        self.identity = Identity.of(self.link.read(Operation.IDENTIFY, 0, IDENTITY))
        self.link.octets = word_octets(self.identity.config)

    @property
    def config(self):
        return self.identity.config

    def load(self, contents, straps, progress=lambda done, of: None):
        """End the run if there is one, and fill the memories: what is not named is 0."""
        config = self.config
        self.link.ask(Operation.HOLD)
        self.link.write(Operation.WRITE_STRAPS, 0, [straps_layout.const(straps.as_const()).as_value().value])
        microcode = [*contents.microcode, *[0] * (config.microcode_depth - len(contents.microcode))]
        arena = [contents.arena.get(address, 0) for address in range(config.arena_depth)]
        done, of = 0, len(microcode) + len(arena)
        for operation, words in ((Operation.WRITE_MICROCODE, microcode), (Operation.WRITE_ARENA, arena)):
            for start in range(0, len(words), 64):
                progress(done, of)
                self.link.write(operation, start, words[start:start + 64])
                done += len(words[start:start + 64])

    def run(self, max_clocks=_ENDLESS, progress=lambda clock: None, seconds=60.0):
        """Begin a run, or go on with the one that has begun, until it is over or has had so many clocks. Its Summary, which says
        ``running`` if that is not so after these seconds."""
        self.link.write(Operation.RUN, 0, [max_clocks - 1])
        until = time.monotonic() + seconds
        while True:
            summary = self.summary()
            if not summary.running or time.monotonic() > until:
                return summary
            progress(summary.clock)

    def summary(self):
        [raw] = self.link.read(Operation.STATUS, 0, 1)
        fields = data.Const(summary_layout, raw)
        return Summary(*(bool(fields[name]) for name in ("begun", "running", "quiet", "trapped")), fields["clock"])

    def status(self):
        """Per core what ``rtl.core.seen.status_layout`` says: field -> bool."""
        words = self.link.read(Operation.STATUS, 1, self.config.n_cores)
        return [{name: bool(data.Const(status_layout, word & (1 << status_layout.size) - 1)[name]) for name, _ in status_layout}
                for word in words]

    def digest(self):
        """Of all records until the clock in which the run stands; None: the board has no Digest."""
        if not self.identity.digest:
            return None
        [digest] = self.link.read(Operation.STATUS, 1 + self.config.n_cores, 1)
        return digest

    def arena(self):
        """End the run if there is one; the words of the arena."""
        self.link.ask(Operation.HOLD)
        return tuple(self.link.read(Operation.READ_ARENA, 0, self.config.arena_depth))

    def hunt(self, job, runs, *, ignore=frozenset(), progress=lambda number: None):
        """Run what has been loaded under the plan of a Job, and again with the next seed, so many times, or until a flag is set.
        The Hunted; the board stands at the end of its run, so ``summary`` is of that. A hunt takes as long as it takes.

        job : its contents and straps are those that were loaded; its plan has no faults.  ignore : flags that are not judged.
        """
        orders, words = self._orders(job, ignore), -(-orders_layout(self.config).size // HUNT_BITS)
        self.link.ask(Operation.HOLD)
        self.link.write(Operation.WRITE_ORDERS, 0, [orders >> HUNT_BITS * word & (1 << HUNT_BITS) - 1 for word in range(words)])
        self.link.write(Operation.HUNT, 0, [runs - 1])
        while True:
            hunted = self._hunted()
            if not hunted.going:
                return hunted
            progress(hunted.number)

    def _orders(self, job, ignore):
        """The raw ``orders_layout``."""
        layout, plan = orders_layout(self.config), job.plan.as_const()
        profile = replace(job.profile, judged=job.profile.judged - ignore)
        return layout.const({**{name: plan[name] for name in layout.members if name in plan}, "last": job.max_clocks - 1,
                             "patience": job.patience, "profile": profile.as_const()}).as_value().value

    def _hunted(self):
        raw, number = self.link.read(Operation.READ_HUNT, 0, 2)
        state = data.Const(hunt_layout, raw & (1 << hunt_layout.size) - 1)
        hits = [place for place in range(len(FLAGS)) if state["hits"] >> place & 1]
        if state["going"]:
            return Hunted(True, number, {})
        return Hunted(False, number, {tuple(FLAGS)[place]: self.link.read(Operation.READ_HUNT, 2 + place, 1)[0] for place in hits})
