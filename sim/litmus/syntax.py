"""The parts of a litmus test, as the parser returns it."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import NamedTuple

__all__ = ["And", "Constant", "Core", "Equal", "Indirect", "Instruction", "Label", "LitmusTest", "Location", "Mode", "Not", "Or",
           "Quantifier", "Register", "Same", "Thread", "Truth"]


class Register(NamedTuple):
    """A register of a thread. ``EAX`` and ``RAX`` are one: a register is one word of the machine. Its name is EAX in X86, RAX in
    X86_64. A symbolic register keeps its ``%``."""

    name: str


class Constant(NamedTuple):
    value: int


class Location(NamedTuple):
    """A word of memory."""

    name: str


class Indirect(NamedTuple):
    """The word of memory ``offset`` words behind the address in a register; plus the number of words in a register ``index``, if it
    is not None."""

    register: str
    index: str | None
    offset: int


class Label(NamedTuple):
    name: str


class Core(NamedTuple):
    """The target of an IPI."""

    number: int


class Instruction(NamedTuple):
    """op : in capitals, without a suffix for the size.  operands : the destination first.  locked : it is atomic.
    text : as in the file."""

    op: str
    operands: tuple
    locked: bool
    text: str


@dataclass(frozen=True)
class Thread:
    """One column: a thread, or the handler of the interrupts that another thread takes.

    name : ``P0``; ``H0`` is the handler of P0.  core : where it runs.
    instructions : in order.  labels : name -> index of the instruction that follows.
    """

    name: str
    core: int
    is_handler: bool
    instructions: tuple[Instruction, ...]
    labels: dict


class Mode(Enum):
    """How the local APICs work; a word in the file."""

    XAPIC = "xapic"
    X2APIC = "x2apic"


class Quantifier(Enum):
    EXISTS = "exists"
    NOT_EXISTS = "~exists"
    FORALL = "forall"
    #: There is no proposition.
    NOTHING = ""


# --- conditions: ``holds`` takes variable -> value --------------------------------------------------------------------


class Equal(NamedTuple):
    variable: str
    value: int

    def holds(self, state):
        return state[self.variable] == self.value

    def variables(self):
        yield self.variable


class Same(NamedTuple):
    """Two variables have one value."""

    left: str
    right: str

    def holds(self, state):
        return state[self.left] == state[self.right]

    def variables(self):
        yield self.left
        yield self.right


class Truth(NamedTuple):
    value: bool

    def holds(self, state):
        return self.value

    def variables(self):
        return iter(())


class Not(NamedTuple):
    condition: object

    def holds(self, state):
        return not self.condition.holds(state)

    def variables(self):
        return self.condition.variables()


class And(NamedTuple):
    conditions: tuple

    def holds(self, state):
        return all(item.holds(state) for item in self.conditions)

    def variables(self):
        for item in self.conditions:
            yield from item.variables()


class Or(NamedTuple):
    conditions: tuple

    def holds(self, state):
        return any(item.holds(state) for item in self.conditions)

    def variables(self):
        for item in self.conditions:
            yield from item.variables()


@dataclass(frozen=True)
class LitmusTest:
    """One file.

    Variables are written as in a condition: ``x`` is a word of memory, ``t[1]`` an element of an array, ``0:EAX`` a register of
    thread P0, ``H1:EAX`` one of handler H1. Values are signed numbers.

    Parameters
    ----------
    path : the file.  name : its name without the suffix.  title : the name inside the file.
    threads : the columns, threads before handlers; thread ``i`` runs on core ``i``.
    xlen : the width of a machine on which the test's values equal those on x86.
    memory : location -> start value, for all locations, in the order of their addresses.
    registers : by thread name: register -> start value, for all registers.
    addresses : location -> its address: a number of words.
    pointers, unsigned : the variables that hold addresses; those without a sign -> their bits. They are displayed accordingly.
    interrupts_off : the cores that start with interrupts off.
    observed : the variables of a final state, in the order of display.
    quantifier, condition : the proposition.
    filter : final states that violate it are ignored.
    modes : of the local APICs; empty if no thread sends an interrupt.
    """

    path: Path
    name: str
    title: str
    threads: tuple[Thread, ...]
    xlen: int
    memory: dict
    registers: dict
    addresses: dict
    pointers: frozenset
    unsigned: dict
    interrupts_off: frozenset
    observed: tuple[str, ...]
    quantifier: Quantifier
    condition: object
    filter: object
    modes: tuple[Mode, ...]

    @property
    def n_cores(self):
        return sum(not thread.is_handler for thread in self.threads)

    @property
    def asks(self):
        """Whether there is a proposition."""
        return self.quantifier is not Quantifier.NOTHING

    def asked(self, state):
        """Whether this state is the one that the test asks about: it satisfies the condition of ``exists`` or ``~exists``,
        or it is a counterexample to ``forall``. ``state``: the values of ``observed``, signed numbers."""
        return self.asks and self.condition.holds(self._values(state)) != (self.quantifier is Quantifier.FORALL)

    def shown(self, state):
        """variable -> its displayed value: a number, or the name of the location with this address."""
        return {variable: self._shown(variable, value) for variable, value in self._values(state).items()}

    def _shown(self, variable, value):
        if variable in self.pointers:
            return next((name for name, address in self.addresses.items() if address == value), value)
        bits = self.unsigned.get(variable)
        return value if bits is None else value & (1 << bits) - 1

    def counts(self, state):
        """Whether this state passes the filter."""
        return self.filter.holds(self._values(state))

    def _values(self, state):
        return dict(zip(self.observed, state, strict=True))

    def allows(self, proposition):
        """Whether the outcome that the test asks about may occur, if the proposition of the file holds (or not)."""
        return proposition == (self.quantifier is Quantifier.EXISTS)

    def proposition(self, states):
        """Whether the proposition of the file holds for a set of final states, without those that the filter drops. Without a
        proposition, always."""
        return any(map(self.asked, states)) == (self.quantifier is Quantifier.EXISTS) or not self.asks
