"""Steps -> microwords, as text."""

import re
from itertools import count

from rtl.core.microword import IMMEDIATE_BITS

from .instructions import Condition
from .steps import Address, Alu, Atomic, Branch, Fence, Halt, Interrupts, Load, Priority, Select, Send, Sleep, Store

__all__ = ["Words", "field_names", "is_word"]

_ATOMIC = {"swap": "swap", "cas": "cas", "add": "fadd", "and": "fand", "or": "for"}
#: The largest constant that a store takes from the word itself.
_MAX_STORED = 63
_MAX_IMMEDIATE = (1 << IMMEDIATE_BITS) - 1
_OPPOSITE = {Condition.ZERO: Condition.NONZERO, Condition.NEGATIVE: Condition.NONNEGATIVE,
             Condition.NONPOSITIVE: Condition.POSITIVE}
_OPPOSITE |= {other: one for one, other in _OPPOSITE.items()}


def field_names(names):
    """name of a location or register -> name of its word: as similar as the assembler's grammar allows."""
    fields, taken = {}, set()
    for name in names:
        field = re.sub(r"\W+", "_", name).strip("_") or "word"
        field = field if not field[0].isdigit() else f"_{field}"
        while field in taken:
            field += "_"
        taken.add(field)
        fields[name] = field
    return fields


def is_word(line):
    """Whether a line is not a label."""
    return not line.endswith(":")


class Words:
    """The words of one column.

    Parameters
    ----------
    xlen : of the machine.  memory : location -> the name of its word.  labels : label -> its step.
    """

    def __init__(self, xlen, memory, labels):
        self._xlen = xlen
        self._memory = memory
        self._labels = labels
        self._local = count()

    def constant(self, register, value):
        """Words that set a register to a signed number."""
        value &= (1 << self._xlen) - 1
        inverse = value ^ (1 << self._xlen) - 1
        if value <= _MAX_IMMEDIATE:
            return [f"mov   {register}, {value}"]
        if inverse <= _MAX_IMMEDIATE:
            return [f"not   {register}, {inverse}"]
        digits = [value >> place & _MAX_IMMEDIATE for place in range(0, self._xlen, IMMEDIATE_BITS)]
        while not digits[-1]:
            digits.pop()
        words = [f"mov   {register}, {digits.pop()}"]
        while digits:
            words.append(f"shl   {register}, {register}, {IMMEDIATE_BITS}")
            words += [f"or    {register}, {register}, {digit}" for digit in [digits.pop()] if digit]
        return words

    def of(self, step, registers):
        """The words of a step. registers : of the test -> of the core."""
        return list(self._of(step, registers))

    def _of(self, step, registers):
        def place(location):
            if not isinstance(location, Address):
                return f"[memory.{self._memory[location]}]"
            register = registers[location.register]
            return f"[{register} + {location.offset}]" if location.offset else f"[{register}]"

        match step:
            case Load(register, location):
                yield f"ld    {registers[register]}, {place(location)}"
            case Store(location, int(number)) if 0 <= number <= _MAX_STORED and not isinstance(location, Address):
                yield f"stc   {place(location)}, {number}"
            case Store(location, int(number)):
                yield from self.constant("temporary", number)
                yield f"st    {place(location)}, temporary"
            case Store(location, register):
                yield f"st    {place(location)}, {registers[register]}"
            case Alu(register, "mov", _, int(number)):
                yield from self.constant(registers[register], number)
            case Alu(register, "mov" | "not" as operation, _, source):
                yield f"{operation:<5} {registers[register]}, {registers[source]}"
            case Alu(register, operation, left, source):
                yield from self._alu(registers[register], operation, registers[left], registers.get(source, source))
            case Atomic(register, "xor", location, source):
                yield from self._atomic_xor(registers[register], place(location), registers[source])
            case Atomic(register, operation, location, source):
                yield f"{_ATOMIC[operation]:<5} {registers[register]}, {place(location)}, {registers[source]}"
            case Fence(order):
                yield f"fence {order.value}"
            case Branch(label, None):
                yield f"jmp   .step{self._labels[label]}"
            case Branch(label, condition):
                yield from self._branch(condition, f".step{self._labels[label]}")
            case Select(register, value, condition):
                yield from self._select(registers[register], registers.get(value, value), condition)
            case Interrupts(on):
                yield "sti" if on else "cli"
            case Priority(level):
                yield f"mov   temporary, {level} << 4"
                yield "apicwr temporary, APIC_TPR"
            case Send(core):
                yield f"send  {core} << 8, VECTOR"
            case Halt():
                yield "halt"
            case Sleep():
                return

    def _label(self):
        return f".over{next(self._local)}"

    def _alu(self, target, operation, left, source):
        """A constant that does not fit a word goes through a free register: the target, or ``temporary``."""
        if isinstance(source, int):
            if operation in ("add", "sub") and source < 0:
                operation, source = "sub" if operation == "add" else "add", -source
            source &= (1 << self._xlen) - 1
            if source > _MAX_IMMEDIATE:
                free = target if target != left else "temporary"
                yield from self.constant(free, source)
                source = free
        yield f"{operation:<5} {target}, {left}, {source}"

    def _branch(self, condition, label):
        match condition:
            case Condition.ZERO | Condition.NONZERO:
                yield f"{'beq' if condition is Condition.ZERO else 'bne'}   flags, 0, {label}"
            case Condition.NEGATIVE | Condition.NONNEGATIVE:
                yield f"bit   temporary, {self._xlen - 1}"
                yield f"{'bts' if condition is Condition.NEGATIVE else 'btc'}   flags, temporary, {label}"
            case Condition.NONPOSITIVE:
                yield f"beq   flags, 0, {label}"
                yield from self._branch(Condition.NEGATIVE, label)
            case Condition.POSITIVE:
                over = self._label()
                yield f"beq   flags, 0, {over}"
                yield from self._branch(Condition.NONNEGATIVE, label)
                yield f"{over}:"

    def _select(self, register, value, condition):
        """Finding the sign takes ``temporary``, which may be the value."""
        over, end = self._label(), self._label()
        kept = condition not in (Condition.ZERO, Condition.NONZERO)
        if kept:
            yield "push  temporary"
        yield from self._branch(_OPPOSITE[condition], over)
        if kept:
            yield "pop   temporary"
        yield f"mov   {register}, {value}"
        if kept:
            yield f"jmp   {end}"
        yield f"{over}:"
        if kept:
            yield "pop   temporary"
            yield f"{end}:"

    def _atomic_xor(self, register, place, source):
        """The atomic unit has no exclusive or. The code compares and swaps until no other core has written in between; what has no
        register is on the stack."""
        again, done = self._label(), self._label()
        yield f"{again}:"
        yield f"ld    {register}, {place}"
        yield f"push  {source}"
        yield f"push  {register}"
        yield f"xor   {source}, {register}, {source}"
        yield f"cas   {register}, {place}, {source}"
        yield f"pop   {source}"
        yield f"beq   {source}, {register}, {done}"
        yield f"pop   {source}"
        yield f"jmp   {again}"
        yield f"{done}:"
        yield f"pop   {source}"
