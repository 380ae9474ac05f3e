"""A litmus test -> microcode and arena of a machine with a core for each thread.

Registers of the test live in core registers; the words of memory are ``memory.x``. A thread ends by a fence, and then stores its
registers to words of its own, ``P0.EAX``, so that this cannot disturb what came before. The final state is in the arena.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from rtl.config import MachineConfig
from sim.engines.engine import Contents
from sim.microcode.assembler import assemble
from sim.microcode.image import Image

from .models import column_steps
from .steps import FLAGS, TEMPORARY, Alu, Atomic, Branch, Fence, Halt, Interrupts, Load, Priority, Send, Sleep, Store
from .syntax import LitmusTest

__all__ = ["Program", "machine_config", "translate"]

_HERE = Path(__file__).parent
_ATOMIC = {"swap": "swap", "cas": "cas", "add": "fadd", "and": "fand", "or": "for"}
#: The largest constant that a store takes from the word itself.
_MAX_STORED = 63


def machine_config(n_cores):
    """The machine that runs all tests of so many threads. Several banks, so that cores access memory at the same time."""
    return MachineConfig(n_cores=n_cores, xlen=16, microcode_depth=256, stack_depth=16, arena_depth=128, n_banks=4)


@dataclass(frozen=True)
class Program:
    """A test as contents of a machine.

    test : what it was made from.  text : the microcode.  image : assembled.
    """

    test: LitmusTest
    text: str
    image: Image

    @cached_property
    def config(self):
        return machine_config(self.test.n_cores)

    @property
    def start(self):
        """The clock before which no thread begins: the boot is over."""
        return 32 + 16 * self.test.n_cores

    @property
    def first(self):
        """The clock in which the first word of a thread's body starts, if the thread begins at ``start``."""
        return self.start + 2

    @cached_property
    def words(self):
        """By column: of how many microwords each of its steps is."""
        return tuple(_words_of_steps(self.test, thread) for thread in self.test.threads)

    def contents(self, delays):
        """What is in the memories at the start of a run. delays : by thread, from 0: how much later than the others it begins."""
        times = {self.image.address_of(f"start_time[{core}]"): self.start + delay for core, delay in enumerate(delays)}
        return Contents(self.image.words, {**self._start_values, **times})

    def final_state(self, arena):
        """The values of ``test.observed``."""
        return tuple(arena[address] for address in self._observed)

    @cached_property
    def _start_values(self):
        values = {self.image.address_of(f"memory.{name}"): value for name, value in self.test.memory.items()}
        for column, registers in self.test.registers.items():
            values |= {self.image.address_of(f"{column}.{name}"): value for name, value in registers.items()}
        return values

    @cached_property
    def _observed(self):
        def address(variable):
            column, colon, name = variable.partition(":")
            if not colon:
                return self.image.address_of(f"memory.{variable}")
            return self.image.address_of(f"{column if column[0] == 'H' else f'P{column}'}.{name}")

        return tuple(map(address, self.test.observed))


def translate(test):
    """The Program of a LitmusTest."""
    text = "\n".join(_lines(test)) + "\n"
    # The name is what a waveform shows; the base is found beside it.
    path = _HERE / f"{test.name}.uasm"
    return Program(test, text, assemble(path, n_cores=test.n_cores, xlen=machine_config(test.n_cores).xlen, text=text))


def _lines(test):
    yield f'.title "{test.title.replace(chr(34), chr(39))}"'
    yield '.include "litmus.uasm"'
    yield from _object("memory", test.memory)
    for thread in test.threads:
        yield from _object(thread.name, test.registers[thread.name])
    threads = test.threads[:test.n_cores]
    handlers = {thread.core: thread for thread in test.threads[test.n_cores:]}
    yield "threads:"
    yield from (f"    beq   temporary, {thread.core}, {thread.name}_start" for thread in threads)
    for thread in threads:
        yield from _thread(test, thread, handlers.get(thread.core))
    yield "interrupt:"
    if handlers:
        yield "    push  flags"
        yield "    push  temporary"
        yield "    cpuid temporary"
        yield from (f"    beq   temporary, {core}, {handler.name}_start" for core, handler in handlers.items())
    yield "    panic"
    for handler in handlers.values():
        yield from _handler(test, handler)


def _object(name, words):
    """Declares an object with a word for each name, if there are any."""
    if words:
        yield f".struct {name}_words"
        yield from (f"    {word}" for word in words)
        yield ".end"
        yield f".global {name}: {name}_words"


def _thread(test, thread, handler):
    registers = _registers(test, thread)
    yield f"{thread.name}_start:"
    yield from (f"    mov   {registers[name]}, {value}" for name, value in test.registers[thread.name].items())
    if handler and thread.core not in test.interrupts_off:
        yield "    sti"
    yield f"    begin {thread.core}"
    yield f"{thread.name}_body:"
    yield from _body(thread, registers, interruptible=handler is not None)
    yield f"{thread.name}_end:"
    yield "    fence FULL"
    yield from _results(test, thread, registers)
    yield "    fence FULL"
    yield ".sleep:"
    yield "    halt"
    yield "    jmp   .sleep"


def _handler(test, handler):
    registers = _registers(test, handler)
    yield f"{handler.name}_start:"
    yield "    apicwr temporary, APIC_EOI"
    yield from (f"    mov   {registers[name]}, {value}" for name, value in test.registers[handler.name].items())
    yield f"{handler.name}_body:"
    yield from _body(handler, registers, interruptible=False)
    yield f"{handler.name}_end:"
    yield from _results(test, handler, registers)
    yield "    pop   temporary"
    yield "    pop   flags"
    yield "    iret"


def _results(test, thread, registers):
    return (f"    st    [{thread.name}.{name}], {registers[name]}" for name in test.registers[thread.name])


def _registers(test, thread):
    """Register of the test -> of the core. A handler has those that its thread leaves, so that it has nothing to save."""
    first = len(test.registers[f"P{thread.core}"]) if thread.is_handler else 0
    names = {name: f"r{first + number}" for number, name in enumerate(test.registers[thread.name])}
    return {**names, FLAGS: "flags", TEMPORARY: "temporary"}


def _body(thread, registers, *, interruptible):
    """The instructions. An instruction is not interrupted: if it has several words, interrupts are off in it."""
    steps, starts, labels = column_steps(thread)
    bounds = [*starts, len(steps)]
    for number, instruction in enumerate(thread.instructions):
        if bounds[number] in labels.values():
            yield f".step{bounds[number]}:"
        words = [word for step in steps[bounds[number]:bounds[number + 1]] for word in _words(step, registers, labels)]
        if interruptible and (len(words) > 1 or instruction.op == "IPI"):
            words = ["irqsave", *words, "irqrestore"]
        for word in words:
            yield f"    {word:<40}; {instruction.text}"
    if len(steps) in labels.values():
        yield f".step{len(steps)}:"


def _words_of_steps(test, thread):
    steps, _, labels = column_steps(thread)
    return tuple(len(list(_words(step, _registers(test, thread), labels))) for step in steps)


def _words(step, registers, labels):
    def value(item):
        return registers.get(item, item)

    match step:
        case Load(register, location):
            yield f"ld    {registers[register]}, [memory.{location}]"
        case Store(location, int(number)) if number <= _MAX_STORED:
            yield f"stc   [memory.{location}], {number}"
        case Store(location, int(number)):
            yield f"mov   temporary, {number}"
            yield f"st    [memory.{location}], temporary"
        case Store(location, register):
            yield f"st    [memory.{location}], {registers[register]}"
        case Alu(register, "mov" | "not" as operation, _, source):
            yield f"{operation:<5} {registers[register]}, {value(source)}"
        case Alu(register, operation, left, source):
            yield f"{operation:<5} {registers[register]}, {registers[left]}, {value(source)}"
        case Atomic(register, operation, location, source):
            yield f"{_ATOMIC[operation]:<5} {registers[register]}, [memory.{location}], {registers[source]}"
        case Fence(order):
            yield f"fence {order.value}"
        case Branch(label, None):
            yield f"jmp   .step{labels[label]}"
        case Branch(label, zero):
            yield f"{'beq' if zero else 'bne'}   flags, 0, .step{labels[label]}"
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
