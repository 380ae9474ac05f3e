"""Holds: a core stands still at a place in the microcode until another core has come somewhere, and the schedule that does it.

A race is two cores at two places at the same time. A random schedule has to hit it; a hold names it. Where a core is, and when, is
known only in a run, so the run is repeated: each time up to the next place that matters, which then determines what is held from
there on. What comes out is a schedule like any other.
"""

import itertools
import re
from dataclasses import dataclass, replace

from rtl.schedule import schedule_layout
from sim.begun import Begun
from sim.engines.spec import EngineSpec
from sim.errors import InputError
from sim.microcode.lookup import lookup
from sim.spelling import closest
from sim.texts import count, integer, shown

__all__ = ["LONGEST", "Held", "Hold", "Place", "hold_up", "read_hold", "read_holds", "with_holds"]

#: A hold ends after so many clocks even if the other core has not come: it may be waiting for what is held.
LONGEST = 5000
#: What is held -> the field of a schedule.
_KINDS = {"stall": "stall", "drain": "hold_drain", "interrupt": "hold_interrupt", "message": "hold_message",
          "reorder": "reorder_drain"}
_FORM = "[stall|drain|interrupt|message|reorder] CORE at PLACE[#N] until CORE at PLACE[#N], or ... for CLOCKS"
_PLACE = r"([0-9]+) at (\S+?)(?:#([0-9]+))?"
_SYNTAX = re.compile(rf"(?:([a-z]+) )?{_PLACE} (?:until {_PLACE}|for ([0-9]+))")


@dataclass(frozen=True)
class Place:
    """A core comes to any of these words, for the ``number``-th time in the run: it would begin it. None: for the next time."""

    core: int
    addresses: frozenset[int]
    number: int | None


@dataclass(frozen=True)
class Hold:
    """A hold, as it is written.

    kind : a key of _KINDS.  at : where it begins.  until : where it ends, but after ``clocks`` at the latest; None: only then.
    """

    text: str
    kind: str
    at: Place
    until: Place | None
    clocks: int


@dataclass(frozen=True)
class Held:
    """What became of a Hold.

    clocks : in which it was held: nothing starts in them. None: it never began.  met : it ended as it says.
    late : it did not begin, because what it waits for had come before.  came : how often the core came to where it begins.
    cut : the run ended first.
    """

    hold: Hold
    clocks: range | None = None
    met: bool = False
    late: bool = False
    came: int = 0
    cut: bool = False

    @property
    def sentence(self):
        """What became of it, for a person."""
        hold, who = self.hold, f"core {self.hold.at.core}"
        if self.late:
            what = f"core {hold.until.core} had come before {who}, so nothing was held"
        elif self.clocks is None:
            times = {0: "never", 1: "once"}.get(self.came) or count(self.came, "time")
            what = f"{who} comes there {times}, so nothing was held"
        else:
            what = f"clocks {self.clocks.start} to {self.clocks[-1]}"
            if self.cut:
                what += ", where the run ended"
            elif not self.met:
                what += f"; it ended after {LONGEST} clocks, because core {hold.until.core} had not come"
        return f'hold "{hold.text}": {what}'


def read_hold(text, image, n_cores):
    """The Hold that a text describes (docs/holds.md). Raises InputError."""
    if not isinstance(text, str):
        raise InputError(f"a hold must be a text, not {shown(text)}")
    found = _SYNTAX.fullmatch(" ".join(text.split()))
    if not found:
        raise InputError(f'the hold "{text}" must be written as {_FORM}')
    kind, *places, clocks = found.groups()
    kind = kind or "stall"
    if kind not in _KINDS:
        raise InputError(f'the hold "{text}": "{kind}" cannot be held{closest(kind, _KINDS)} (there are: {", ".join(_KINDS)})')

    def place(core, name, number):
        number = None if number is None else integer(number)
        if integer(core) >= n_cores:
            raise InputError(f'the hold "{text}": there is no core {core}; there are {n_cores}')
        if number == 0:
            raise InputError(f'the hold "{text}": #0 is no number of times; the first is #1')
        try:
            return Place(integer(core), lookup(name, image), number)
        except InputError as error:
            raise InputError(f'the hold "{text}": {error.message}') from None

    longest = LONGEST if clocks is None else integer(clocks)
    if not 1 <= longest <= LONGEST:
        raise InputError(f'the hold "{text}" must be for 1 to {LONGEST} clocks')
    return Hold(text, kind, place(*places[:3]), place(*places[3:]) if clocks is None else None, longest)


def read_holds(prepared, texts):
    """The Holds of a run. Raises InputError."""
    return [read_hold(text, prepared.image, prepared.run.config.n_cores) for text in texts]


def with_holds(prepared, holds, tell, progress=lambda text: None):
    """The Prepared with these Holds. tell : called with a sentence about each.  progress : as for ``hold_up``."""
    if not holds:
        return prepared
    engine = EngineSpec(prepared.run.config).make(lambda line: None)      # what there is to say of it, the run itself says
    prepared, helds = hold_up(prepared, holds, engine, progress)
    for held in helds:
        tell(held.sentence)
    return prepared


def hold_up(prepared, holds, engine, progress=lambda text: None):
    """(Prepared, Helds): the same run with these Holds, and what became of each. The run has no other schedule.

    engine : any engine of its machine. It makes at most two runs for each hold, and one more.  progress : called with a text before
    each.
    """
    helds = [Held(hold) for hold in holds]
    for number in itertools.count(1):
        progress(f"run {number} to find the clocks of the holds")
        this = prepared.under(schedule=_schedule(prepared.run.config, helds))
        watch = _Watch(prepared, helds)
        outcome = engine.run(this.job, sink=watch, probe=True)
        if not watch.next:
            break
        for index, held in watch.next.items():
            helds[index] = held
    longest = sum(len(held.clocks) for held in helds if held.clocks)
    helds = [_at_the_end(replace(held, came=watch.came[index]), outcome.clocks) for index, held in enumerate(helds)]
    return this.patient(this.patience + longest), tuple(helds)


def _at_the_end(held, clocks):
    """The same Held, of a run of so many clocks."""
    if held.clocks and clocks < held.clocks.stop:
        return replace(held, clocks=range(held.clocks.start, clocks), cut=True)
    return held


def _schedule(config, helds):
    """The schedule, in the form of an Outcome. What is in force in a clock holds what would start in the next one."""
    layout = schedule_layout(config)
    held = [(range(item.clocks.start - 1, item.clocks.stop - 1), layout[_KINDS[item.hold.kind]].offset + item.hold.at.core)
            for item in helds if item.clocks]
    changes = sorted({clock for clocks, _ in held for clock in (clocks.start, clocks.stop)})
    return tuple((clock, sum(1 << bit for bit in {bit for clocks, bit in held if clock in clocks})) for clock in changes)


class _Watch(Begun):
    """Ends a run when a hold begins, or ends before its time; and when all is decided.

    next : number of such a Hold -> what becomes of it.  came : how often the core of each Hold came to where it begins.
    """

    def __init__(self, prepared, helds):
        super().__init__(prepared.run.config, prepared.image)
        self.next = {}
        self.came = [0] * len(helds)
        self._met = [0] * len(helds)             # how often the other core came to where it ends
        self._helds = helds
        self._begun_now = []                     # (core, address) of what has begun in the clock

    def on_clock(self, clock, records, probe):
        self._begun_now.clear()
        super().on_clock(clock, records, probe)
        clock -= 1                               # a word is known to have begun one clock later
        if self._begun_now:
            for index, held in enumerate(self._helds):
                self._come(index, held, clock)
        return bool(self.next) or all(held.late or held.clocks and held.clocks[-1] <= clock for held in self._helds)

    def begun(self, core, address):
        self._begun_now.append((core, address))

    def _comes(self, place):
        return place is not None and any(core == place.core and address in place.addresses for core, address in self._begun_now)

    def _come(self, index, held, clock):
        """What the words that began in this clock mean for a Hold."""
        at, until = held.hold.at, held.hold.until
        before = self._met[index]
        met = self._comes(until)
        self._met[index] += met
        ends = met and until.number in (None, self._met[index])
        if self._comes(at):
            self.came[index] += 1
            if held.clocks is None and not held.late and self.came[index] == (at.number or 1):
                # Where both are the same core, it has to come once more.
                same = met and until.core == at.core
                self.next[index] = _begin(held, clock, self._met[index] if same else before, ends and not same)
        if ends and held.clocks and not held.met and clock in held.clocks[1:]:
            self.next[index] = replace(held, clocks=range(held.clocks.start, clock + 1), met=True)


def _begin(held, clock, before, ends):
    """What becomes of a Hold when its core comes to where it begins. before : how often the other one had come to where it ends.
    ends : it comes there now, in the same clock."""
    until = held.hold.until
    if until is not None and until.number is not None and until.number <= before:
        return replace(held, late=True)
    return replace(held, clocks=range(clock, clock + (1 if ends else held.hold.clocks)), met=ends or until is None)
