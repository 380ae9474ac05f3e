"""Which core register holds which register of the test, and when.

Six are enough for most threads. A thread that has more but no jumps keeps only live values in them: a finished value goes on the
private stack, which is not memory, until the end. Only where more than six are live at once, or a thread jumps, words of the arena
that no other thread accesses hold the rest. Then loads and stores of these words are between those of the test; the possible
outcomes are the same, because no other thread sees them and none of them orders anything.
"""

from typing import NamedTuple

from .steps import FLAGS, TEMPORARY, Branch, registers_of
from .words import field_names

__all__ = ["CORE_REGISTERS", "Allocation", "Plan", "allocate"]

#: The core registers that hold registers of a test; the others are FLAGS and TEMPORARY.
CORE_REGISTERS = tuple(f"r{number}" for number in range(6))
#: The most that a step needs for registers in the arena.
_SCRATCH = 3


class Plan(NamedTuple):
    """For one step. registers : of the test -> of the core.  begun : (core register, number) to set first.
    before, behind : words around it.
    """

    registers: dict
    begun: tuple = ()
    before: tuple = ()
    behind: tuple = ()


class Allocation(NamedTuple):
    """plans : of each step.  first : (core register, number) to set before the thread begins.

    Where values are at the end: held : register of the test -> of the core.  pushed : on the stack, in this order.
    spilled : register of the test -> its word in the arena.
    """

    plans: list
    first: list
    held: dict
    pushed: list
    spilled: dict

    @property
    def used(self):
        """The core registers in use."""
        return {register for plan in self.plans for register in plan.registers.values()}


def allocate(column, steps, start, seen, available=CORE_REGISTERS, *, stack=True):
    """The Allocation for the steps of a column.

    start : register -> number.  seen : registers with an observed final value.
    stack : whether the private stack may be used; not between the halves of what an interrupt must not divide.
    """
    accesses = [tuple(names - {FLAGS, TEMPORARY} for names in registers_of(step)) for step in steps]
    names = list(dict.fromkeys(name for read, written in accesses for name in sorted(read | written)))
    written = {name for _, names_written in accesses for name in names_written}
    if len(names) <= len(available):
        registers = dict(zip(names, available, strict=False))
        return Allocation([Plan(registers)] * len(steps), [(register, start[name]) for name, register in registers.items()],
                          {name: register for name, register in registers.items() if name in written}, [], {})
    if not stack or any(isinstance(step, Branch) for step in steps):
        return _spilled(column, accesses, names, written, start, available)
    return _in_turn(accesses, start, seen, available) or _spilled(column, accesses, names, written, start, available)


def _in_turn(accesses, start, seen, available):
    """Each core register for one register after the other; None if too many are live at once."""
    last = {name: number for number, access in enumerate(accesses) for name in access[0] | access[1]}
    free, used, holds, written = list(available), set(), {}, set()
    plans, first, pushed = [], [], []
    for number, (read, changed) in enumerate(accesses):
        begun, before = [], []
        for name in sorted((read | changed) - holds.keys()):
            if not free:
                done = [other for other in holds if last[other] < number]
                if not done:
                    return None
                # Preferably one whose final value is not observed.
                other = min(done, key=lambda item: item in seen and item in written)
                if other in seen and other in written:
                    before.append(f"push  {holds[other]}")
                    pushed.append(other)
                free.append(holds.pop(other))
            register = holds[name] = free.pop(0)
            if name in read:
                (begun if register in used else first).append((register, start[name]))
            used.add(register)
        written |= changed
        plans.append(Plan(dict(holds), tuple(begun), tuple(before)))
    return Allocation(plans, first, {name: register for name, register in holds.items() if name in written}, pushed, {})


def _spilled(column, accesses, names, written, start, available):
    """The most accessed registers are in the core, the others in the arena."""
    weight = {name: sum((name in read) + (name in changed) for read, changed in accesses) for name in names}
    scratch, resident = available[-_SCRATCH:], available[:-_SCRATCH]
    order = sorted(names, key=lambda name: -weight[name])
    registers = dict(zip(order, resident, strict=False))
    words = field_names(order[len(resident):])
    plans = []
    for read, changed in accesses:
        # A register that is only written may share with one that is only read: an operation reads before it writes.
        here = dict(zip(sorted(read & words.keys()), scratch, strict=False))
        for name in sorted(changed & words.keys() - here.keys()):
            taken = {here[item] for item in here if item in changed}
            here[name] = next(register for register in reversed(scratch) if register not in taken)
        word = {name: f"[{column}_spilled.{words[name]}]" for name in here}
        plans.append(Plan({**registers, **here},
                          before=tuple(f"ld    {here[name]}, {word[name]}" for name in here if name in read),
                          behind=tuple(f"st    {word[name]}, {here[name]}" for name in here if name in changed)))
    return Allocation(plans, [(register, start[name]) for name, register in registers.items()],
                      {name: register for name, register in registers.items() if name in written}, [], words)
