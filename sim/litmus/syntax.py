"""What a litmus test is made of, as the parser gives it."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import NamedTuple

__all__ = ["And", "Constant", "Core", "Equal", "Indirect", "Instruction", "Label", "LitmusTest", "Location", "Mode", "Not", "Or",
           "Quantifier", "Register", "Same", "Thread", "Truth"]


class Register(NamedTuple):
    """A register of a thread. ``EAX`` and ``RAX`` are one: a register is one word of the machine. It is called EAX in X86, RAX in
    X86_64. A symbolic register keeps its ``%``."""

    name: str


class Constant(NamedTuple):
    value: int


class Location(NamedTuple):
    """A word of memory."""

    name: str


class Indirect(NamedTuple):
    """The word of memory at the address in a register, and ``offset`` words behind; also of the words in a register ``index``, or
    None."""

    register: str
    index: str | None
    offset: int


class Label(NamedTuple):
    name: str


class Core(NamedTuple):
    """The target of an IPI."""

    number: int


class Instruction(NamedTuple):
    """op : in capitals, without a suffix for the size.  operands : what is written stands first.  locked : it is atomic.
    text : as it is written."""

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
    #: There is no sentence.
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
    path : the file.  name : its name without the suffix.  title : the name that the file gives itself.
    threads : the columns, threads before handlers; thread ``i`` runs on core ``i``.
    xlen : the width of the machine on which its values are what they are on x86.
    memory : location -> start value, for all locations, in the order in which they stand in memory.
    registers : by thread name: register -> start value, for all registers.
    addresses : location -> its address: a number of words.
    pointers, unsigned : the variables that hold addresses; that have no sign -> their bits. They are shown so.
    interrupts_off : the cores that start with interrupts off.
    observed : the variables of a final state, in the order in which it is shown.
    quantifier, condition : the proposition.
    filter : final states in which it does not hold are not looked at.
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
        """Whether there is a sentence."""
        return self.quantifier is not Quantifier.NOTHING

    def asked(self, state):
        """Whether this state is the one that the test asks about: it satisfies the condition of ``exists`` or ``~exists``,
        or it is a counterexample to ``forall``. ``state``: the values of ``observed``, signed numbers."""
        return self.asks and self.condition.holds(self._values(state)) != (self.quantifier is Quantifier.FORALL)

    def shown(self, state):
        """variable -> its value as people write it: a number, or the name of the location whose address it is."""
        return {variable: self._shown(variable, value) for variable, value in self._values(state).items()}

    def _shown(self, variable, value):
        if variable in self.pointers:
            return next((name for name, address in self.addresses.items() if address == value), value)
        bits = self.unsigned.get(variable)
        return value if bits is None else value & (1 << bits) - 1

    def counts(self, state):
        """Whether the filter lets this state pass."""
        return self.filter.holds(self._values(state))

    def _values(self, state):
        return dict(zip(self.observed, state, strict=True))

    def allows(self, proposition):
        """Whether the outcome that the test asks about may be seen, if the sentence of the file is (not) true."""
        return proposition == (self.quantifier is Quantifier.EXISTS)

    def proposition(self, states):
        """Whether the sentence of the file is true of a set of final states; those that the filter drops are not in it. No sentence
        is always true."""
        return any(map(self.asked, states)) == (self.quantifier is Quantifier.EXISTS) or not self.asks
