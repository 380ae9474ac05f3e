"""What calls owe and what was done for them, seen from outside the protocol.

The command loop and the functions belong to no protocol. They report everything that a call is judged by: what was requested
(REQUEST, ISSUE), which function began and ended where (RUN, RAN), and what was returned (RESULT). The protocol's own events only
explain. ``rtl/check/`` is the same in hardware.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from rtl.events import Event, Whom, contract_layout

__all__ = ["ENXIO", "Book", "Contract", "Obligation", "Run", "cores_of", "judged_functions"]

#: What a routine returns for a target that is not online.
ENXIO = 6


def cores_of(mask):
    """The cores of a mask, in ascending order."""
    return [core for core in range(mask.bit_length()) if mask >> core & 1]


def judged_functions(image):
    """The microcode addresses of the functions of an image that emit RUN at their entry point, if everything they need is there."""
    said = image.events
    if not {Event.REQUEST, Event.ISSUE, Event.RESULT, Event.RAN} <= said.keys():
        return frozenset()
    return frozenset(image.symbols[name] for name in image.entries) & said.get(Event.RUN, set())


class Contract(NamedTuple):
    """The contract of a call, as in ``rtl.events.contract_layout``."""

    known: bool
    whom: Whom
    here: bool
    wait: bool
    fails: bool
    returns: bool
    target: int

    @classmethod
    def decode(cls, word):
        parts = contract_layout.from_bits(word & (1 << contract_layout.size) - 1)
        return cls(bool(parts["known"]), Whom(parts["whom"]), bool(parts["here"]), bool(parts["wait"]), bool(parts["fails"]),
                   bool(parts["returns"]), parts["target"])

    def encode(self):
        return contract_layout.const(self._asdict()).as_bits()

    def asked(self, caller, mask, n_cores):
        """The other cores that it is for, and for TARGET maybe the caller, as a mask."""
        everybody = (1 << n_cores) - 1
        return {
            Whom.NOBODY: 0,
            Whom.TARGET: 1 << self.target & everybody,
            Whom.MASK: mask & everybody & ~(1 << caller),
            Whom.OTHERS: everybody & ~(1 << caller),
        }[self.whom]


@dataclass(eq=False)
class Run:
    """A function that a core runs.

    func, info : the function and its argument.  begun, ended : clocks; ``ended`` is None while it runs.
    enabled : interrupts were on when it began.  level : how many interrupts the core was in.
    inside : it began inside another function of this core, which had made no call that this could be for.
    obligation : what it was run for; None if it is owed to no call.
    excused : it may belong to a call with an unknown contract.
    calls : the last call that it made itself.
    """

    core: int
    func: int
    info: int
    begun: int
    enabled: bool
    level: int
    inside: bool
    obligation: "Obligation | None"
    excused: bool
    ended: int | None = None
    calls: "Obligation | None" = None


@dataclass(eq=False)
class Obligation:
    """What one call owes.

    func, info : what to run.  asked : the cores to run it, as a mask; with ``contract.here`` including the caller.
    issued, returned : clocks; ``returned`` is None before.  result : what was returned, signed.
    must : cores that must run the function: asked for, and online from the beginning of the call until it returned. (Also, no
        function has cleared their bits meanwhile.)
    may : cores that may run it: asked for, and online at some moment of the call.
    results : what may be returned; None before it is, and if that is not judged.
    runs : core -> the Run for this call.  begun : the cores in ``runs``, as a mask.
    """

    caller: int
    func: int
    info: int
    contract: Contract
    asked: int
    issued: int
    must: int
    may: int
    returned: int | None = None
    result: int | None = None
    results: frozenset[int] | None = None
    runs: dict[int, Run] = field(default_factory=dict)
    begun: int = 0

    @property
    def open(self):
        """Cores that may still begin, as a mask."""
        return self.may & ~self.begun

    @property
    def unfinished(self):
        """Cores that have begun but not ended, or have not begun but must, in ascending order."""
        return [core for core in cores_of(self.may)
                if (self.runs[core].ended is None if core in self.runs else self.must >> core & 1)]

    @property
    def late(self):
        """Cores that should have ended when the call returned, and have not: all if it waits, else only the caller."""
        return self.unfinished if self.contract.wait else [core for core in self.unfinished
                                                           if self.contract.here and core == self.caller]


class Book:
    """The obligations of a run. The tracker passes on what the common sources report, in the order of the records.

    Parameters
    ----------
    n_cores, xlen : of the machine.
    functions : microcode addresses of the functions that emit RUN and RAN. Calls of any other function are not judged.

    Members
    -------
    online : mask of the cores that are online.
    unknown : a call with an unknown contract has begun. Any later function that is owed to no call may belong to it.
    obligations : all of them, in the order in which they began.  runs : likewise; ``latest`` is the one that the last record began
        or ended, or None.
    """

    def __init__(self, n_cores, xlen, functions):
        self.online = 0
        self.functions = frozenset(functions)
        self.obligations = []
        self.runs = []
        self._n_cores = n_cores
        self._sign = 1 << xlen - 1
        self._known = {}              # (func, info) -> obligations, in order
        self.unknown = False
        self._running = [[] for _ in range(n_cores)]      # per core: Runs, the innermost last
        self._under_way = []          # obligations that have not returned
        self._asked = []              # [mask of the spared cores] of each call that is requested and has not begun

    def set_online(self, mask):
        """These cores have entered the online mask."""
        self.online |= mask
        for item in self._under_way:
            item.may |= item.asked & mask

    def set_offline(self, mask):
        """These cores have left the online mask."""
        self.online &= ~mask
        self._spare(mask)

    def unmask(self, core):
        """A core has cleared its bit in a mask. A call that uses the mask just now may have read it before or after."""
        self._spare(1 << core)

    def _spare(self, mask):
        for item in self._under_way:
            item.must &= ~mask
        for spared in self._asked:
            spared[0] |= mask

    def request(self):
        """A call is requested. Returns the ``spared`` of ``issue``. The mask in ISSUE was read in between, so a core that is spared
        from now on owes it nothing."""
        self._asked.append([0])
        return self._asked[-1]

    def issue(self, core, func, info, word, mask, clock, spared=(0,)):
        """A call begins. Returns its Obligation, or None if its contract is unknown."""
        self._asked = [other for other in self._asked if other is not spared]
        contract = Contract.decode(word)
        if not contract.known or func not in self.functions:
            self.unknown = True
            return None
        asked = contract.asked(core, mask, self._n_cores)
        here = 1 << core if contract.here else 0
        there = asked & self.online | here
        item = Obligation(core, func, info, contract, asked | here, clock, there, there & ~spared[0])
        self.obligations.append(item)
        self._known.setdefault((func, info), []).append(item)
        self._under_way.append(item)
        if self._running[core]:
            # A function that makes a call: the called function may run in its middle, if it is for this core.
            self._running[core][-1].calls = item
        return item

    def result(self, item, value, clock):
        """The routine of a call has returned this word."""
        item.returned, item.result = clock, value - 2 * self._sign if value & self._sign else value
        self._under_way.remove(item)
        if item.contract.returns:
            item.results = frozenset({0})
        elif item.contract.fails:
            item.results = frozenset({0} if item.may else ()) | frozenset(() if item.must else {-ENXIO})
        if item.contract.fails and item.result:
            # The result promises that no core runs the function, so none may.
            item.must = item.may = item.begun
        elif item.contract.wait:
            # A core that came online too late to be waited for is too late.
            item.may &= item.must | item.begun

    def run(self, core, func, info, clock, *, enabled, level):
        """A function begins. Returns its Run: for the oldest call that is owed it, or else the oldest that it may be for."""
        open_ones = [item for item in self._known.get((func, info), ()) if item.open >> core & 1]
        item = next((item for item in open_ones if item.must >> core & 1), open_ones[0] if open_ones else None)
        outer = self._running[core][-1] if self._running[core] else None
        inside = outer is not None and (item is None or outer.calls is not item)
        run = Run(core, func, info, clock, enabled, level, inside, item, item is None and self.unknown)
        if item is not None:
            item.runs[core] = run
            item.begun |= 1 << core
        self.runs.append(run)
        self._running[core].append(run)
        return run

    def ran(self, core, clock):
        """The function that began last on a core has ended. Returns its Run, or None if there is none."""
        if not self._running[core]:
            return None
        run = self._running[core].pop()
        run.ended = clock
        return run

    def running(self, core):
        """The innermost function that a core is in, or None."""
        return self._running[core][-1] if self._running[core] else None

    def asked_for(self, func, info):
        """All calls of this function with this info so far."""
        return self._known.get((func, info), [])

    def owed_by(self, core):
        """The oldest call for which a core may still run something, or None."""
        return next((item for item in self.obligations if item.open >> core & 1), None)

    @classmethod
    def for_image(cls, config, image):
        """The book of a machine that runs an assembled protocol."""
        return cls(config.n_cores, config.xlen, judged_functions(image))
