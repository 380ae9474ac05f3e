"""Instructions -> steps: what happens at once. A step is one microword, and one move of the enumerators.

Two registers belong to no thread: FLAGS holds the result by which a jump decides (ZF is that it is 0), TEMPORARY what an
instruction has between two of its steps.
"""

from enum import Enum
from typing import NamedTuple

from .syntax import Constant, Core, Label, Location, Register

__all__ = ["CLASS", "FLAGS", "TEMPORARY", "Alu", "Atomic", "Branch", "Fence", "Halt", "Interrupts", "Load", "Order", "Priority",
           "Send", "Sleep", "Store", "lower"]

#: The class of every interrupt: that of VECTOR in litmus.uasm.
CLASS = 15

FLAGS = "flags"
TEMPORARY = "temporary"

#: Conditional jumps -> whether they jump if the result is 0.
_JUMPS = {"JE": True, "JZ": True, "JNE": False, "JNZ": False}
_ALU = {"ADD": "add", "SUB": "sub", "AND": "and", "OR": "or", "XOR": "xor", "CMP": "sub", "INC": "add", "DEC": "sub"}


class Order(Enum):
    """What a fence orders."""

    FULL = "FULL"
    WRITE = "WRITE"
    READ = "READ"


class Load(NamedTuple):
    register: str
    location: str


class Store(NamedTuple):
    """``value``: the name of a register, or a number."""

    location: str
    value: str | int


class Alu(NamedTuple):
    """register = left operation value. ``mov`` and ``not`` have no left."""

    register: str
    operation: str
    left: str | None
    value: str | int


class Atomic(NamedTuple):
    """register = memory, and memory = what ``operation`` (swap, cas, add, and, or) makes of it and ``value``, at once.

    ``cas`` writes ``value`` if memory is what the register holds."""

    register: str
    operation: str
    location: str
    value: str


class Fence(NamedTuple):
    order: Order


class Branch(NamedTuple):
    """To a label; if the result in ``flags`` is 0 (``zero``), if it is not, or always (None)."""

    label: str
    zero: bool | None
    flags: str = FLAGS


class Send(NamedTuple):
    """An interrupt to a core, when the one that was sent before has arrived."""

    core: int


class Interrupts(NamedTuple):
    """On, after the step that follows; or off."""

    on: bool


class Priority(NamedTuple):
    """The core's task priority: interrupts up to this class are held back."""

    level: int


class Halt(NamedTuple):
    """Falls asleep."""


class Sleep(NamedTuple):
    """Only an interrupt leaves it, and returns behind it. No microword of its own."""


def lower(instruction, flags):
    """The steps of an instruction. ``flags``: whether a jump will look at the result."""
    return list(_lower(instruction.op, instruction.operands, instruction.locked, flags))


def _value(operand):
    return operand.name if isinstance(operand, Register) else operand.value


def _lower(op, operands, locked, flags):
    match op, operands:
        case "NOP", ():
            yield Alu(TEMPORARY, "mov", None, 0)
        case ("MFENCE" | "LFENCE" | "SFENCE"), ():
            yield Fence({"M": Order.FULL, "L": Order.READ, "S": Order.WRITE}[op[0]])
        case ("CLI" | "STI"), ():
            yield Interrupts(op == "STI")
        case "TPR", (Constant(level),):
            yield Priority(level)
        case "HLT", ():
            yield Halt()
            yield Sleep()
        case "IPI", (Core(number),):
            yield Send(number)
        case _, (Label(name),):
            yield Branch(name, _JUMPS.get(op))
        case "MOV", (Register(name), Location(place)):
            yield Load(name, place)
        case "MOV", (Register(name), value):
            yield Alu(name, "mov", None, _value(value))
        case "MOV", (Location(place), value):
            yield Store(place, _value(value))
        case "XCHG", (Register(left), Register(right)):
            yield Alu(TEMPORARY, "mov", None, left)
            yield Alu(left, "mov", None, right)
            yield Alu(right, "mov", None, TEMPORARY)
        case "XCHG", (Location(place), Register(name)) | (Register(name), Location(place)):
            yield Atomic(name, "swap", place, name)
        case "XADD", (Location(place), Register(name)):
            yield Alu(FLAGS, "mov", None, name)
            yield Atomic(name, "add", place, name)
            yield Alu(FLAGS, "add", FLAGS, name)
        case "CMPXCHG", (Location(place), Register(name)):
            yield Alu(FLAGS, "mov", None, "EAX")
            yield Atomic("EAX", "cas", place, name)
            yield Alu(FLAGS, "sub", "EAX", FLAGS)
        case ("INC" | "DEC"), (target,):
            yield from _arithmetic(op, target, Constant(1), locked, flags)
        case _, (target, source):
            yield from _arithmetic(op, target, source, locked, flags)


def _arithmetic(op, target, source, locked, flags):
    operation = _ALU[op]
    if isinstance(source, Location):
        yield Load(TEMPORARY, source.name)
        source = Register(TEMPORARY)
    if locked:
        yield from _atomic(operation, target.name, _value(source))
    elif isinstance(target, Location):
        yield Load(TEMPORARY, target.name)
        yield Alu(FLAGS, operation, TEMPORARY, _value(source))
        if op != "CMP":
            yield Store(target.name, FLAGS)
    elif op == "CMP":
        yield Alu(FLAGS, operation, target.name, _value(source))
    else:
        yield Alu(target.name, operation, target.name, _value(source))
        if flags:
            yield Alu(FLAGS, "mov", None, target.name)


def _atomic(operation, place, value):
    """The atomic unit adds, but does not subtract; and it takes a register."""
    yield Alu(FLAGS, "mov", None, value)
    if operation == "sub":
        yield Alu(FLAGS, "sub", FLAGS, 1)
        yield Alu(FLAGS, "not", None, FLAGS)
        operation = "add"
    yield Atomic(TEMPORARY, operation, place, FLAGS)
    yield Alu(FLAGS, operation, TEMPORARY, FLAGS)
