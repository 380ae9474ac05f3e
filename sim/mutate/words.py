"""What a microword reads, writes and orders: what makes a change a fault."""

from functools import cache
from types import SimpleNamespace

from amaranth.lib import data

from rtl.core.microword import CONDITIONAL_OPS, JUMP_OPS, MEMORY_OPS, MicroWord, Op
from rtl.events import Event
from sim.microcode.listing import written_form

__all__ = ["changed", "dead_register", "fresh", "matters_in_order", "reached", "reads", "word_of", "writes"]

_REGISTERS = 8
_ALL = frozenset(range(_REGISTERS))
_SAVED = frozenset(range(_REGISTERS - 1))

_STACK = frozenset({Op.PUSH, Op.POP, Op.PUSHA, Op.POPA, Op.IRQSAVE, Op.IRQRESTORE})
_CALLS = frozenset({Op.CALL, Op.ICALL})
_INTERRUPTS = frozenset({Op.CLI, Op.STI, Op.IRQSAVE, Op.IRQRESTORE, Op.GETIF})
_APIC = frozenset({Op.APICRD, Op.APICRDH, Op.APICWR, Op.APICWRH})
#: The words after these are not known from the word itself.
_AWAY = frozenset({Op.RET, Op.IRET, Op.ICALL})


#: No word follows these.
_ENDS = frozenset({Op.RET, Op.IRET, Op.PANIC})


#: Name -> (lowest bit, largest value, conversion of its value). Amaranth's own constants do the same, a hundred times slower, and a
#: protocol has thousands of mutants.
_FIELDS = {name: (field.offset, (1 << field.width) - 1, {"op": Op, "event": Event}.get(name, int))
           for name, field in data.Layout.cast(MicroWord)}


@cache
def word_of(raw):
    """A raw word with its fields as attributes."""
    return SimpleNamespace(**{name: kind(raw >> low & most) for name, (low, most, kind) in _FIELDS.items()})


def changed(raw, **fields):
    """The raw word with some fields changed."""
    for name, value in fields.items():
        low, most, kind = _FIELDS[name]
        raw = raw & ~(most << low) | (value if kind is int else value.value) << low
    return raw


def fresh(raw, **fields):
    """A new word with these fields; of the old one it keeps only whether it is an entry point."""
    return changed(0, entry=word_of(raw).entry, **fields)


@cache
def reads(raw):
    """The registers that the operation reads. A register that only the event shows is not read."""
    word = word_of(raw)
    if word.op is Op.PUSHA:
        return _SAVED
    found = set()
    for kind in written_form(word):
        if kind == "a" or kind == "m" and not word.use_imm:
            found.add(word.ra)
        elif kind == "r" or kind == "b" and not word.use_imm:
            found.add(word.rb)
        elif kind == "c":
            found.add(word.rd)
    return frozenset(found)


@cache
def writes(raw):
    """The registers that the operation writes."""
    word = word_of(raw)
    if word.op is Op.POPA:
        return _SAVED
    return frozenset({word.rd} if {"d", "c"} & set(written_form(word)) else ())


def matters_in_order(first, second):
    """Whether two successive words do something else in the other order, as far as the words tell. Events do not count. A call may
    do anything."""
    ops = [word_of(raw).op for raw in (first, second)]
    if _CALLS & set(ops):
        return True
    if writes(first) & (reads(second) | writes(second)) or reads(first) & writes(second):
        return True
    return any(all(op in group for op in ops) for group in (_VISIBLE, _STACK))


#: What other cores see, or what decides when they see it.
_VISIBLE = frozenset({*MEMORY_OPS, *_APIC, *_INTERRUPTS, Op.FENCE, Op.TIME})


def dead_register(words, address):
    """A register whose value is no longer read when the word at an address is about to run: every path from there writes it first.
    None if no register is sure."""
    return min(_ALL - _live(tuple(words))[address], default=None)


@cache
def _live(words):
    """By address: the registers that may still be read."""
    live = [frozenset()] * len(words)
    changing = True
    while changing:
        changing = False
        for here in reversed(range(len(words))):
            now = _ALL
            if word_of(words[here]).op not in _AWAY:
                after = (live[place] if place < len(words) else _ALL for place in _following(words[here], here))
                now = reads(words[here]) | (frozenset().union(*after) - writes(words[here]))
            if now != live[here]:
                live[here], changing = now, True
    return live


def reached(words, starts):
    """The addresses that a core may reach from these and from the entry points, whatever its registers and memory hold."""
    found, ahead = set(), [*starts, *(address for address, raw in enumerate(words) if word_of(raw).entry)]
    while ahead:
        here = ahead.pop()
        if here < len(words) and here not in found:
            found.add(here)
            if word_of(words[here]).op is Op.CALL:
                ahead.append(here + 1)
            if word_of(words[here]).op not in _ENDS:
                ahead += _following(words[here], here)
    return found


def _following(raw, address):
    """Where a core may continue after a word, if the word tells. (After a call it is in the routine.)"""
    word = word_of(raw)
    if word.op in JUMP_OPS:
        return (word.target,)
    return (address + 1, word.target) if word.op in CONDITIONAL_OPS else (address + 1,)
