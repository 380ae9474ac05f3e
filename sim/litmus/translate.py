"""A litmus test -> microcode and arena of a machine with a core for each thread.

Registers of the test are in core registers (see registers.py); the words of memory are ``memory.x``. A thread ends with a fence,
and then stores its registers to words of its own, ``P0.EAX``, so that this cannot disturb the test. The final state is in the
arena.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from rtl.config import MachineConfig
from sim.engines.engine import Contents
from sim.errors import InputError
from sim.microcode.assembler import assemble
from sim.microcode.image import Image
from sim.texts import count

from .instructions import JUMPS
from .registers import CORE_REGISTERS, allocate
from .steps import FLAGS, TEMPORARY, column_steps
from .syntax import LitmusTest
from .widths import signed
from .words import Words, field_names, is_word

__all__ = ["Program", "machine_config", "translate"]

_HERE = Path(__file__).parent
#: Machines come in few sizes, because each must be built: the smallest of these that fits, or else a power of two.
_MICROCODE = (256, 1024)
_ARENA = (128, 1024, 8192)
_STACK = (64, 256)
#: The most that boot and sending an interrupt need; and words of the macros.
_COMMON = 40
_MACROS = {"send": 8, "begin": 6}
#: The most stack that an interrupt and the words of an instruction need.
_HANDLER_STACK = 24


def machine_config(n_cores, xlen=16, *, microcode=0, arena=0, stack=0):
    """The machine for all tests with this many threads, of this width and this many words. It has several banks, so that cores
    access memory at the same time. Raises ValueError if there is none."""
    config = MachineConfig(n_cores=n_cores, xlen=xlen, n_banks=4)
    for field, needed, sizes in (("microcode_depth", microcode, _MICROCODE), ("arena_depth", arena, _ARENA),
                                 ("stack_depth", stack, _STACK)):
        config = _with_room(config, field, needed, sizes)
    return config


def _with_room(config, field, needed, sizes):
    for size in sizes:
        if size >= needed:
            try:
                return replace(config, **{field: size})
            except ValueError:
                break
    return replace(config, **{field: 1 << (needed - 1).bit_length()})


@dataclass(frozen=True)
class Program:
    """A test as contents of a machine.

    test : its source.  text : the microcode.  image : assembled.  config : of the machine.
    words : by column: the microwords of each of its steps.
    late : clocks by which the threads' preparations are longer than those of a thread with few registers.
    spilled : by column: registers in the arena -> their words.
    """

    test: LitmusTest
    text: str
    image: Image
    config: MachineConfig
    words: tuple
    late: int
    spilled: dict

    @property
    def start(self):
        """The clock before which no thread begins: the boot has ended."""
        return 32 + 16 * self.test.n_cores + self.late

    @property
    def first(self):
        """The clock in which the first word of a thread's body starts, if the thread begins at ``start``."""
        return self.start + 2

    def contents(self, delays):
        """The initial contents of the memories. delays : by thread, from 0: how much later than the others it begins."""
        times = {address: self.start + delay for address, delay in zip(self._start_times, delays, strict=True)}
        return Contents(self.image.words, {**self._start_values, **times})

    def final_state(self, arena):
        """The values of ``test.observed``."""
        return tuple(signed(arena[address], self.test.xlen) for address in self._observed)

    @cached_property
    def _start_times(self):
        return [self.image.address_of(f"start_time[{core}]") for core in range(self.test.n_cores)]

    @cached_property
    def _start_values(self):
        mask = (1 << self.test.xlen) - 1
        values = {address: self.test.memory[name] & mask for name, address in self.test.addresses.items()}
        for column, registers in self.test.registers.items():
            fields = field_names(registers)
            values |= {self.image.address_of(f"{column}.{fields[name]}"): value & mask for name, value in registers.items()}
            values |= {self.image.address_of(f"{column}_spilled.{word}"): registers[name] & mask
                       for name, word in self.spilled[column].items()}
        return values

    @cached_property
    def _observed(self):
        def address(variable):
            column, colon, name = variable.partition(":")
            if not colon:
                return self.test.addresses[variable]
            column = column if column[0] == "H" else f"P{column}"
            return self.image.address_of(f"{column}.{field_names(self.test.registers[column])[name]}")

        return tuple(map(address, self.test.observed))


def translate(test):
    """The Program of a LitmusTest. Raises InputError if no machine is large enough."""
    return _Translator(test).program()


class _Translator:
    def __init__(self, test):
        self._test = test
        self._memory = field_names(test.memory)
        self._handlers = {thread.core: thread for thread in test.threads[test.n_cores:]}
        self._columns = {}
        for thread in test.threads:
            # A handler allocates from the other end, so that it has little to save.
            available = CORE_REGISTERS[::-1] if thread.is_handler else CORE_REGISTERS
            self._columns[thread.name] = _Column(test, thread, self._memory, available, stack=thread.core not in self._handlers)

    def program(self):
        test, columns = self._test, self._columns.values()
        lines = list(self._lines())
        self._check_size(lines)
        # Waveforms show the name; the base is looked up with it.
        image = assemble(_HERE / f"{test.name}.uasm", n_cores=test.n_cores, xlen=test.xlen, text="\n".join(lines) + "\n")
        config = self._config(len(image.words), image.heap)
        image.check_fits(config)
        assert all(image.address_of(f"memory.{self._memory[name]}") == address for name, address in test.addresses.items())
        return Program(test, "\n".join(lines) + "\n", image, config, tuple(column.counts for column in columns),
                       late=max(0, *(len(column.prologue) - len(CORE_REGISTERS) for column in columns)),
                       spilled={name: column.allocation.spilled for name, column in self._columns.items()})

    def _check_size(self, lines):
        """Before assembly, because the assembler would name a file that no one has written."""
        words = [line.split()[0] for line in lines if line.startswith("    ")]
        # One line of this kind declares each word of memory; all others are microwords.
        memory = sum(map(len, (self._test.memory, *self._test.registers.values(),
                               *(column.allocation.spilled for column in self._columns.values()))))
        self._config(sum(_MACROS.get(word, 1) for word in words) - memory + _COMMON, memory + self._test.n_cores)

    def _config(self, microcode, arena):
        test = self._test
        stack = _HANDLER_STACK + max(len(column.allocation.pushed) for column in self._columns.values())
        try:
            return machine_config(test.n_cores, test.xlen, microcode=microcode, arena=arena, stack=stack)
        except ValueError as problem:
            raise InputError(f"no machine is large enough: the test needs {count(microcode, 'word')} of microcode, {arena} of "
                             f"memory and {stack} of stack, and {problem}", file=test.path) from None

    def _lines(self):
        test = self._test
        yield f'.title "{test.title.replace(chr(34), chr(39))}"'
        # The first object is at the start of the arena, so the addresses are known before assembly.
        yield from _object("memory", self._memory.values())
        yield '.include "litmus.uasm"'
        for name, column in self._columns.items():
            yield from _object(name, field_names(test.registers[name]).values())
            yield from _object(f"{name}_spilled", column.allocation.spilled.values())
        threads = test.threads[:test.n_cores]
        yield "threads:"
        yield from (f"    beq   temporary, {thread.core}, {thread.name}_start" for thread in threads)
        for thread in threads:
            yield from self._thread(thread)
        yield "interrupt:"
        if self._handlers:
            yield "    push  flags"
            yield "    push  temporary"
            yield "    cpuid temporary"
            yield from (f"    beq   temporary, {core}, {handler.name}_start" for core, handler in self._handlers.items())
        yield "    panic"
        for handler in self._handlers.values():
            yield from self._handler(handler)

    def _thread(self, thread):
        column, handler = self._columns[thread.name], self._handlers.get(thread.core)
        yield f"{thread.name}_start:"
        yield from _indented(column.prologue)
        if handler and thread.core not in self._test.interrupts_off:
            yield "    sti"
        yield f"    begin {thread.core}"
        yield f"{thread.name}_body:"
        yield from column.body(interruptible=handler is not None)
        yield f"{thread.name}_end:"
        yield "    fence FULL"
        yield from _indented(column.results)
        yield "    fence FULL"
        yield ".sleep:"
        yield "    halt"
        yield "    jmp   .sleep"

    def _handler(self, handler):
        """A handler preserves the registers of its thread."""
        column = self._columns[handler.name]
        saved = sorted(column.allocation.used & self._columns[f"P{handler.core}"].allocation.used)
        yield f"{handler.name}_start:"
        yield "    apicwr temporary, APIC_EOI"
        yield from (f"    push  {register}" for register in saved)
        yield from _indented(column.prologue)
        yield f"{handler.name}_body:"
        yield from column.body(interruptible=False)
        yield f"{handler.name}_end:"
        yield from _indented(column.results)
        yield from (f"    pop   {register}" for register in reversed(saved))
        yield "    pop   temporary"
        yield "    pop   flags"
        yield "    iret"


class _Column:
    """A thread or handler as microwords. words : lines of each step.  prologue, results : before and behind them."""

    def __init__(self, test, thread, memory, available, *, stack):
        self._thread = thread
        self.steps, self._starts, self._labels = column_steps(thread)
        start = test.registers[thread.name]
        seen = {name for name in start if f"{thread.name.removeprefix('P')}:{name}" in test.observed}
        self.allocation = allocate(thread.name, self.steps, start, seen, available, stack=stack)
        words = Words(test.xlen, memory, self._labels)
        self.prologue = [word for register, value in self.allocation.first for word in words.constant(register, value)]
        self.words = []
        for step, plan in zip(self.steps, self.allocation.plans, strict=True):
            begun = [word for register, value in plan.begun for word in words.constant(register, value)]
            self.words.append([*plan.before, *begun, *words.of(step, {**plan.registers, FLAGS: "flags", TEMPORARY: "temporary"}),
                               *plan.behind])
        self.results = list(self._results(field_names(start), seen))

    @property
    def counts(self):
        """How many microwords each step has."""
        return tuple(sum(map(is_word, lines)) for lines in self.words)

    def _results(self, fields, seen):
        name, allocation = self._thread.name, self.allocation
        for register, held in allocation.held.items():
            yield f"st    [{name}.{fields[register]}], {held}"
        for register in reversed(allocation.pushed):
            yield "pop   temporary"
            yield f"st    [{name}.{fields[register]}], temporary"
        for register, word in allocation.spilled.items():
            if register in seen:
                yield f"ld    temporary, [{name}_spilled.{word}]"
                yield f"st    [{name}.{fields[register]}], temporary"

    def body(self, *, interruptible):
        """The instructions. An instruction is not interrupted: if it has several words, interrupts are off in it."""
        bounds, labels = [*self._starts, len(self.steps)], set(self._labels.values())
        for number, instruction in enumerate(self._thread.instructions):
            if bounds[number] in labels:
                yield f".step{bounds[number]}:"
            words = [word for step in self.words[bounds[number]:bounds[number + 1]] for word in step]
            # Not for a jump: a handler does not disturb what it has computed.
            if interruptible and instruction.op not in JUMPS and (sum(map(is_word, words)) > 1 or instruction.op == "IPI"):
                words = ["irqsave", *words, "irqrestore"]
            for word in words:
                yield f"    {word:<40}; {instruction.text}" if is_word(word) else word
        if len(self.steps) in labels:
            yield f".step{len(self.steps)}:"


def _indented(words):
    return (f"    {word}" for word in words)


def _object(name, words):
    """Declares an object with a word for each name, if there are any."""
    words = list(words)
    if words:
        yield f".struct {name}_words"
        yield from (f"    {word}" for word in words)
        yield ".end"
        yield f".global {name}: {name}_words"
