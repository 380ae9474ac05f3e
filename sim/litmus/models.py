"""The memory models as programs: every final state that a litmus test may have, by trying all orders.

This is the project's own expectation, independent of the machine and of verdicts from outside. A core executes its steps in order;
between it and memory is a buffer of stores that others do not see yet:

SC : no buffer. TSO : stores leave it in order. PSO : stores to different locations may leave in any order.

A load reads the youngest store to its location in its own buffer, else memory. MFENCE and atomic steps wait until the buffer is
empty; SFENCE does so under PSO; LFENCE has no effect, because loads are executed in order.

An interrupt is sent at once in x2APIC mode, and when the buffer is empty in xAPIC mode; a core has at most one in flight. It
arrives at any later time, and is accepted at any later time between two instructions, with interrupts on and no STI just before.
Two that arrive before the first is accepted are one. The handler starts with the end of interrupt, a write to the local APIC: in
xAPIC mode it also waits for the buffer to be empty; its IRET does so in both.
"""

from collections import deque
from enum import Enum
from functools import reduce
from operator import or_
from typing import NamedTuple

from sim.errors import InputError

from .instructions import Condition
from .steps import (
    CLASS,
    FLAGS,
    TEMPORARY,
    Address,
    Alu,
    Atomic,
    Branch,
    Fence,
    Halt,
    Interrupts,
    Load,
    Order,
    Priority,
    Select,
    Send,
    Sleep,
    Store,
    column_steps,
)
from .syntax import Mode
from .widths import signed

__all__ = ["Model", "Move", "explore", "final_states"]


class Model(Enum):
    SC = "sc"
    TSO = "tso"
    PSO = "pso"


class _Eoi(NamedTuple):
    """The handler begins."""


class _Return(NamedTuple):
    """The handler ends."""


class _End(NamedTuple):
    """The thread ends."""


class Move(NamedTuple):
    """A transition of a core from one state to the next: it executes a step, or a store leaves its buffer.

    step : its number in the thread; None: a store leaves.  index : of that store in the buffer; 0 is the oldest.
    """

    core: int
    step: int | None
    index: int | None = None


class _Core(NamedTuple):
    """The state of a core.

    buffer : (location, value) of stores, oldest first.  shadow : the step before was STI.  pending : an interrupt has arrived.
    sent : the target of the interrupt in flight, or None.  frame : where the handler returns to; None outside it.
    held : its class is not above that of TPR.
    """

    pc: int
    registers: tuple
    buffer: tuple
    interrupts_on: bool
    shadow: bool
    pending: bool
    sent: int | None
    frame: int | None
    held: bool


#: The limit of work: for each state, a constant for each core and 1 for each store in a buffer. A few seconds and a hundred
#: megabytes.
_MAX_WORK = 1_000_000
_CORE_WORK = 4

_CONDITIONS = {
    Condition.ZERO: lambda result: result == 0, Condition.NONZERO: lambda result: result != 0,
    Condition.NEGATIVE: lambda result: result < 0, Condition.NONNEGATIVE: lambda result: result >= 0,
    Condition.NONPOSITIVE: lambda result: result <= 0, Condition.POSITIVE: lambda result: result > 0,
}
_OPERATIONS = {
    "mov": lambda left, value: value,
    "not": lambda left, value: ~value,
    "add": lambda left, value: left + value,
    "sub": lambda left, value: left - value,
    "and": lambda left, value: left & value,
    "or": lambda left, value: left | value,
    "xor": lambda left, value: left ^ value,
    "swap": lambda left, value: value,
}


class _Program:
    """Everything that a core executes: the steps of its thread, _End, and then those of its handler.

    Registers are numbers here: those of thread and handler, and then a register for each constant, which is never written.

    Members
    -------
    steps : with numbers for registers, locations and labels.  boundaries : where an interrupt may be accepted.
    handler : the first step of the handler, or None.  end : the last step of the thread.
    start : values of the registers.  place : (column, register) -> number.
    reads, writes : by step: the locations that may be accessed from there on, as a set of bits.
    """

    def __init__(self, test, core, locations):
        self.steps = []
        self.start = []
        self.place = {}
        self._locations = locations
        thread = test.threads[core]
        starts = self._add(test, thread, [])
        self.end = len(self.steps)
        self.steps.append(_End())
        self.boundaries = {*starts, self.end}
        self.handler = None
        for handler in test.threads:
            if handler.is_handler and handler.core == core:
                self.handler = len(self.steps)
                # A handler starts with the same registers in each run.
                first = [_Eoi(), *(Alu(name, "mov", None, value) for name, value in test.registers[handler.name].items())]
                self._add(test, handler, first)
                self.steps.append(_Return())
        self.reads = self._later(lambda step: isinstance(step, (Load, Atomic)))
        self.writes = self._later(lambda step: isinstance(step, (Store, Atomic)))

    def _later(self, accesses):
        """By step: the locations of all steps for which ``accesses`` is true, from this one on."""
        everything = (1 << len(self._locations)) - 1
        own = [(1 << step.location if isinstance(step.location, int) else everything) if accesses(step) else 0
               for step in self.steps]
        if self.handler is not None:
            # The handler may begin anywhere.
            return [reduce(or_, own)] * len(own)
        later, changed = own, True
        while changed:
            before, later = later, [
                bits | (0 if isinstance(step, _End) else later[number + 1]) | (later[step.label] if isinstance(step, Branch) else 0)
                for number, (bits, step) in enumerate(zip(own, self.steps, strict=True))]
            changed = before != later
        return later

    def _add(self, test, thread, first):
        """Append a column's steps; returns where each of its instructions starts."""
        for name, value in {**test.registers[thread.name], FLAGS: 0, TEMPORARY: 0}.items():
            self._register(thread, name, value)
        steps, starts, labels = column_steps(thread)
        base = len(self.steps) + len(first)
        for step in first + steps:
            fields = {}
            for field, value in step._asdict().items():
                if isinstance(value, Address):
                    fields[field] = value._replace(register=self._register(thread, value.register, 0))
                elif field == "location":
                    fields[field] = self._locations.index(value)
                elif field == "label":
                    fields[field] = base + labels[value]
                elif field in ("register", "left", "value", "flags") and value is not None:
                    fields[field] = self._register(thread, value, value)
            self.steps.append(step._replace(**fields))
        return [base + start for start in starts]

    def _register(self, thread, name, value):
        key = thread.name, name
        if key not in self.place:
            self.place[key] = len(self.start)
            self.start.append(value)
        return self.place[key]


class _Machine:
    """The states of a test under a model, and their transitions. A state is (memory, cores)."""

    def __init__(self, test, model, mode, *, barriers):
        self._model = model
        self._mode = mode
        self._barriers = barriers
        self._locations = list(test.memory)
        self._addresses = {address: self._locations.index(name) for name, address in test.addresses.items()}
        self._test = test
        self._xlen = test.xlen
        self._programs = [_Program(test, core, self._locations) for core in range(test.n_cores)]
        self._observed = [self._finder(variable) for variable in test.observed]
        self.start = tuple(test.memory.values()), tuple(
            _Core(0, tuple(program.start), (), core not in test.interrupts_off, False, False, None, None, False)
            for core, program in enumerate(self._programs))

    def _finder(self, variable):
        """A function that returns the value of a variable in a state."""
        column, colon, name = variable.partition(":")
        if not colon:
            index = self._locations.index(variable)
            return lambda memory, cores: memory[index]
        column = column if column[0] == "H" else f"P{column}"
        core = int(column[1:])
        program = self._programs[core]
        index = program.place[column, name]

        def find(_memory, cores):
            # A thread stores its registers at its end.
            over = column[0] == "H" or cores[core].pc == program.end
            return cores[core].registers[index] if over else program.start[index]

        return find

    def observe(self, state):
        return tuple(find(*state) for find in self._observed)

    def _place(self, location, registers):
        """The number of the location that a step accesses."""
        if isinstance(location, int):
            return location
        address = registers[location.register] + location.offset
        if address not in self._addresses:
            raise InputError(f"an instruction may access address {address}, where there is no location", file=self._test.path)
        return self._addresses[address]

    def successors(self, state):
        """(Move, state) for each successor; no Move for interrupts."""
        memory, cores = state
        found = []
        for number, (core, program) in enumerate(zip(cores, self._programs, strict=True)):
            moves = self._local(core, program)
            if moves is not None:
                # Others do not see this step, and nothing can come before it: no other order needs to be tried.
                return [(Move(number, core.pc), (memory, (*cores[:number], moves, *cores[number + 1:])))]
        alone = self._alone(memory, cores)
        if alone is not None:
            return [alone]
        for number, (core, program) in enumerate(zip(cores, self._programs, strict=True)):
            for move, new_memory, new_core in self._moves(number, memory, core, program):
                found.append((move, (new_memory, (*cores[:number], new_core, *cores[number + 1:]))))
            if core.sent is not None:
                arrived = list(cores)
                arrived[number] = core._replace(sent=None)
                arrived[core.sent] = arrived[core.sent]._replace(pending=True)
                found.append((None, (memory, tuple(arrived))))
        return found

    def _local(self, core, program):
        """The core after its next step, if only that core is concerned; else None."""
        if program.handler is not None and core.pc in program.boundaries:
            return None
        step = program.steps[core.pc]
        if isinstance(step, (Alu, Branch, Select, Interrupts, Halt)) or isinstance(step, Store) and self._model is not Model.SC:
            return self._step((), core, program)[1]
        return None

    def _alone(self, memory, cores):
        """A (Move, state) that no other core can distinguish from the same move made later: then no other order needs to be tried.
        It is a load of what no other core will write, or a store that becomes visible where no other core will look."""
        written, read = [], []
        for core, program in zip(cores, self._programs, strict=True):
            buffered = reduce(or_, (1 << location for location, _ in core.buffer), 0)
            written.append(program.writes[core.pc] | buffered)
            read.append(program.reads[core.pc])
        for number, (core, program) in enumerate(zip(cores, self._programs, strict=True)):
            others = reduce(or_, written[:number] + written[number + 1:], 0)
            step = program.steps[core.pc]
            if isinstance(step, Load) and program.handler is None and not others >> self._place(step.location, core.registers) & 1:
                memory_after, after = self._step(memory, core, program)
                return Move(number, core.pc), (memory_after, (*cores[:number], after, *cores[number + 1:]))
            if core.buffer:
                location, value = core.buffer[0]
                if not (others | reduce(or_, read[:number] + read[number + 1:], 0)) >> location & 1:
                    after = core._replace(buffer=core.buffer[1:])
                    return Move(number, None, 0), (_put(memory, location, value), (*cores[:number], after, *cores[number + 1:]))
        return None

    def _moves(self, number, memory, core, program):
        """(Move, memory, core) for each thing that this core may do."""
        for index, (location, value) in enumerate(core.buffer):
            older = core.buffer[:index]
            if index == 0 or self._model is Model.PSO and all(place != location for place, _ in older):
                after = core._replace(buffer=older + core.buffer[index + 1:])
                yield Move(number, None, index), _put(memory, location, value), after
        asleep = isinstance(program.steps[core.pc], Sleep)
        # After the last instruction the core goes on, and leaves the shadow.
        may = asleep or core.pc == program.end or core.pc in program.boundaries and not core.shadow
        if core.pending and core.interrupts_on and not core.held and may:
            frame = core.pc + asleep
            accepted = core._replace(pc=program.handler, interrupts_on=False, shadow=False, pending=False, frame=frame)
            yield None, memory, accepted
        after = self._step(memory, core, program)
        if after is not None:
            yield Move(number, core.pc), *after

    def _step(self, memory, core, program):
        """(memory, core) after the next step; None if it must wait."""
        step = program.steps[core.pc]
        registers = core.registers
        core = core._replace(pc=core.pc + 1, shadow=False)
        match step:
            case Load(register, location):
                location = self._place(location, registers)
                value = next((value for place, value in reversed(core.buffer) if place == location), memory[location])
                return memory, core._replace(registers=_put(registers, register, value))
            case Store(location, value):
                location = self._place(location, registers)
                if self._model is Model.SC:
                    return _put(memory, location, registers[value]), core
                return memory, core._replace(buffer=(*core.buffer, (location, registers[value])))
            case Alu(register, operation, left, value):
                result = _OPERATIONS[operation](registers[left] if left is not None else 0, registers[value])
                result = signed(result, self._xlen)
                return memory, core._replace(registers=_put(registers, register, result))
            case Atomic(register, operation, location, value):
                if core.buffer and self._barriers:
                    return None
                location = self._place(location, registers)
                old, new = memory[location], registers[value]
                if operation == "cas":
                    new = new if old == registers[register] else old
                else:
                    new = signed(_OPERATIONS[operation](old, new), self._xlen)
                return _put(memory, location, new), core._replace(registers=_put(registers, register, old))
            case Fence(order):
                waits = self._barriers and (order is Order.FULL or order is Order.WRITE and self._model is Model.PSO)
                return None if waits and core.buffer else (memory, core)
            case Select(register, value, condition, flags):
                if _CONDITIONS[condition](registers[flags]):
                    registers = _put(registers, register, registers[value])
                return memory, core._replace(registers=registers)
            case Branch(label, condition, flags):
                taken = condition is None or _CONDITIONS[condition](registers[flags])
                return memory, core._replace(pc=label) if taken else core
            case Interrupts(on):
                return memory, core._replace(interrupts_on=on, shadow=on and not core.interrupts_on)
            case Priority(level):
                waits = self._mode is Mode.XAPIC and core.buffer
                return None if waits else (memory, core._replace(held=level >= CLASS))
            case Send(target):
                if core.sent is not None or self._mode is Mode.XAPIC and core.buffer:
                    return None
                return memory, core._replace(sent=target)
            case _Eoi():
                return None if self._mode is Mode.XAPIC and core.buffer else (memory, core)
            case _Return():
                return None if core.buffer else (memory, core._replace(pc=core.frame, interrupts_on=True, frame=None))
            case Halt():
                return memory, core
            case Sleep() | _End():
                return None


def _put(values, index, value):
    return (*values[:index], value, *values[index + 1:])


def explore(test, model, mode=None, *, barriers=True):
    """Every final state of a LitmusTest, as the values of ``test.observed`` -> the Moves of one path to it, on which as few stores
    as possible overtake others; without the states that the filter drops. None if there are too many states on the way. Raises
    InputError if there is no final state, because some thread runs forever in any order.

    mode : of the local APICs, if the test sends interrupts.
    barriers : whether fences and atomic steps wait until the buffer is empty; False is a fault, not a model.
    """
    machine = _Machine(test, model, mode, barriers=barriers)
    before = {}                                 # state -> (state, Move) that led to it
    waiting = deque([(machine.start, None)])    # at the right, those to which fewer stores have overtaken others
    final = {}
    work = 0
    while waiting:
        state, came = waiting.pop()
        if state in before:
            continue
        before[state] = came
        following = machine.successors(state)
        if not following:
            final.setdefault(machine.observe(state), state)
        for move, new in reversed(following):
            if new not in before:
                overtakes = move is not None and move.index
                (waiting.appendleft if overtakes else waiting.append)((new, (state, move)))
        work += sum(_CORE_WORK + len(core.buffer) for core in state[1])
        if work > _MAX_WORK:
            return None
    if not final:
        raise InputError("no run of this test ends: some thread runs forever, whatever the order", file=test.path)
    return {values: _way(before, state) for values, state in final.items() if test.counts(values)}


def _way(before, state):
    moves = []
    while before[state] is not None:
        state, move = before[state]
        moves.append(move)
    return tuple(reversed(moves))


def final_states(test, model, mode=None):
    """Every final state that ``explore`` finds: a frozenset; or None."""
    ways = explore(test, model, mode)
    return None if ways is None else frozenset(ways)
