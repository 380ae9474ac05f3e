"""Instructions -> steps: what happens at once. A step is one move of the enumerators, and mostly one microword.

Two registers belong to no thread: FLAGS holds the result that a jump tests (ZF means that it is 0), TEMPORARY a value between two
steps of an instruction.
"""

from enum import Enum
from typing import NamedTuple

from .instructions import JUMPS, MOVES, SETS, Condition
from .syntax import Constant, Core, Indirect, Label, Location, Register

__all__ = ["CLASS", "FLAGS", "TEMPORARY", "Address", "Alu", "Atomic", "Branch", "Fence", "Halt", "Interrupts", "Load", "Order",
           "Priority", "Select", "Send", "Sleep", "Store", "column_steps", "registers_of"]

#: The class of every interrupt: that of VECTOR in litmus.uasm.
CLASS = 15

FLAGS = "flags"
TEMPORARY = "temporary"

_ALU = {"ADD": "add", "SUB": "sub", "AND": "and", "OR": "or", "XOR": "xor", "CMP": "sub", "TEST": "and", "INC": "add", "DEC": "sub"}
#: Instructions whose result is only tested.
_COMPARES = ("CMP", "TEST")
#: At the end of a thread, the target of RET.
_END = ("end",)


class Order(Enum):
    """What a fence orders."""

    FULL = "FULL"
    WRITE = "WRITE"
    READ = "READ"


class Address(NamedTuple):
    """The location ``offset`` words behind the address in a register."""

    register: str
    offset: int


class Load(NamedTuple):
    register: str
    location: str | Address


class Store(NamedTuple):
    """``value``: the name of a register, or a number."""

    location: str | Address
    value: str | int


class Alu(NamedTuple):
    """register = left operation value. ``mov`` and ``not`` have no left."""

    register: str
    operation: str
    left: str | None
    value: str | int


class Atomic(NamedTuple):
    """register = memory, and memory = ``operation`` (swap, cas, add, and, or, xor) of it and ``value``, at once.

    ``cas`` writes ``value`` if memory equals the register."""

    register: str
    operation: str
    location: str | Address
    value: str


class Fence(NamedTuple):
    order: Order


class Branch(NamedTuple):
    """To a label; if the result in ``flags`` satisfies ``condition``, or always (None)."""

    label: str
    condition: Condition | None
    flags: str = FLAGS


class Select(NamedTuple):
    """register = value, if the result in ``flags`` satisfies ``condition``."""

    register: str
    value: str | int
    condition: Condition
    flags: str = FLAGS


class Send(NamedTuple):
    """An interrupt to a core, once the previously sent one has arrived."""

    core: int


class Interrupts(NamedTuple):
    """On, after the following step; or off."""

    on: bool


class Priority(NamedTuple):
    """The core's task priority: interrupts up to this class are held."""

    level: int


class Halt(NamedTuple):
    """Falls asleep."""


class Sleep(NamedTuple):
    """Only an interrupt leaves it, and returns behind it. No microword of its own."""


def column_steps(thread):
    """(steps, first step of each instruction, label -> step) of one column."""
    flags = any(instruction.op in known for instruction in thread.instructions for known in (JUMPS, MOVES, SETS))
    steps, starts = [], []
    for instruction in thread.instructions:
        starts.append(len(steps))
        steps += _lower(instruction.op, instruction.operands, instruction.locked, flags)
    bounds = [*starts, len(steps)]
    labels = {name: bounds[index] for name, index in thread.labels.items()}
    if any(instruction.op == "RET" for instruction in thread.instructions):
        labels[_END] = len(steps)
    return steps, starts, labels


def registers_of(step):
    """(registers that a step reads, registers that it writes), as sets of names."""
    read, written = set(), set()
    for field, item in step._asdict().items():
        if field == "location" and isinstance(item, Address):
            read.add(item.register)
        elif field in ("left", "value", "flags") and isinstance(item, str):
            read.add(item)
        elif field == "register":
            written.add(item)
    if isinstance(step, Select) or isinstance(step, Atomic) and step.operation == "cas":
        read |= written
    return read, written


def _value(operand):
    return operand.name if isinstance(operand, Register) else operand.value


def _place(operand):
    return operand.name if isinstance(operand, Location) else Address(operand.register, operand.offset)


def _lower(op, operands, locked, flags):
    """The steps of an instruction. flags : whether a later instruction tests the result."""
    match op, operands:
        case ("NOP" | "PAUSE" | "ENDBR64"), ():
            yield Alu(TEMPORARY, "mov", None, 0)
        case "RET", ():
            yield Branch(_END, None)
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
            yield Branch(name, JUMPS[op][0] if op in JUMPS else None)
        case "MOV", (Register(name), Indirect(register, str(index), offset)):
            yield Alu(TEMPORARY, "add", register, index)
            yield Load(name, Address(TEMPORARY, offset))
        case "MOV", (Indirect(register, str(index), offset), value):
            yield Alu(TEMPORARY, "add", register, index)
            yield Store(Address(TEMPORARY, offset), _value(value))
        case "MOV", (Register(name), (Location() | Indirect()) as place):
            yield Load(name, _place(place))
        case ("MOV" | "LEA"), (Register(name), value):
            yield Alu(name, "mov", None, _value(value))
        case "MOV", (place, value):
            yield Store(_place(place), _value(value))
        case ("XCHG" | "UXCH"), (Register(left), Register(right)):
            yield Alu(TEMPORARY, "mov", None, left)
            yield Alu(left, "mov", None, right)
            yield Alu(right, "mov", None, TEMPORARY)
        case ("XCHG" | "UXCH" | "XADD" | "CMPXCHG"), _:
            yield from _exchange(op, operands, locked)
        case _, (Register(name), source) if op in MOVES:
            if not isinstance(source, Register):
                yield Load(TEMPORARY, _place(source))
                source = Register(TEMPORARY)
            yield Select(name, source.name, MOVES[op][0])
        case _, (target,) if op in SETS:
            register = target.name if isinstance(target, Register) else TEMPORARY
            yield Alu(register, "mov", None, 0)
            yield Select(register, 1, SETS[op][0])
            if not isinstance(target, Register):
                yield Store(_place(target), TEMPORARY)
        case ("NOT" | "NEG"), (target,):
            yield from _negation(op, target, flags)
        case ("INC" | "DEC"), (target,):
            yield from _arithmetic(op, target, Constant(1), locked, flags)
        case _, (target, source):
            yield from _arithmetic(op, target, source, locked, flags)


def _exchange(op, operands, locked):
    """Exchange a register and memory, in either order. Without a lock: a load, and then a store."""
    first, second, *rest = operands
    place, name = (_place(second), first.name) if isinstance(first, Register) else (_place(first), second.name)
    if op == "CMPXCHG":
        accumulator = rest[0].name
        if locked:
            yield Alu(FLAGS, "mov", None, accumulator)
            yield Atomic(accumulator, "cas", place, name)
            yield Alu(FLAGS, "sub", FLAGS, accumulator)
        else:
            yield Load(TEMPORARY, place)
            yield Alu(FLAGS, "sub", accumulator, TEMPORARY)
            yield Select(TEMPORARY, name, Condition.ZERO)
            yield Store(place, TEMPORARY)
            yield Select(accumulator, TEMPORARY, Condition.NONZERO)
    elif op == "XADD":
        if locked:
            yield Alu(FLAGS, "mov", None, name)
            yield Atomic(name, "add", place, name)
            yield Alu(FLAGS, "add", FLAGS, name)
        else:
            yield Load(TEMPORARY, place)
            yield Alu(FLAGS, "add", TEMPORARY, name)
            yield Alu(name, "mov", None, TEMPORARY)
            yield Store(place, FLAGS)
    elif op == "XCHG":
        yield Atomic(name, "swap", place, name)
    else:
        yield Load(TEMPORARY, place)
        yield Store(place, name)
        yield Alu(name, "mov", None, TEMPORARY)


def _negation(op, target, flags):
    register = target.name if isinstance(target, Register) else TEMPORARY
    if register == TEMPORARY:
        yield Load(TEMPORARY, _place(target))
    yield Alu(register, "not", None, register)
    if op == "NEG":
        yield Alu(register, "add", register, 1)
        if flags:
            yield Alu(FLAGS, "mov", None, register)
    if register == TEMPORARY:
        yield Store(_place(target), TEMPORARY)


def _arithmetic(op, target, source, locked, flags):
    operation = _ALU[op]
    if isinstance(source, (Location, Indirect)):
        yield Load(TEMPORARY, _place(source))
        source = Register(TEMPORARY)
    if locked:
        yield from _atomic(operation, _place(target), _value(source))
    elif not isinstance(target, Register):
        yield Load(TEMPORARY, _place(target))
        yield Alu(FLAGS, operation, TEMPORARY, _value(source))
        if op not in _COMPARES:
            yield Store(_place(target), FLAGS)
    elif op in _COMPARES:
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
