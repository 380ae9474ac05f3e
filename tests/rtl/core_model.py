"""What a core does, in plain Python: one word after another, as the table of operations in ``docs/microcode.md`` says it.

The model is architectural (registers, private stack, memory, interrupt flag, what is said), and knows the clock in which each word
completes: one core is alone with its arena, so "3 + contention" is 3 and the arena's latency.
"""

from collections import Counter, namedtuple
from functools import cache

from rtl.apic.registers import ApicRegister
from rtl.core.microword import ENTRY_INTERRUPT, ENTRY_RESET, MicroWord, Op
from rtl.events import Event
from rtl.memory.port import MemoryOp
from sim.records import CoreRecord

__all__ = ["CoreModel"]

_VERSION = 0x14
_MEMORY = {
    Op.LD: MemoryOp.READ, Op.LDZ: MemoryOp.READ, Op.LDNZ: MemoryOp.READ, Op.ST: MemoryOp.WRITE, Op.STC: MemoryOp.WRITE,
    Op.SWAP: MemoryOp.SWAP, Op.CAS: MemoryOp.CAS, Op.FADD: MemoryOp.ADD, Op.FAND: MemoryOp.AND, Op.FANDN: MemoryOp.AND,
    Op.FOR: MemoryOp.OR,
}

Word = namedtuple("Word", ("op", "rd", "ra", "rb", "use_imm", "imm", "target", "event", "entry"))


@cache
def _decoded(raw):
    word = MicroWord.from_bits(raw)
    return Word._make(getattr(word, name) for name in Word._fields)


class CoreModel:
    """One core with an arena of its own.

    Parameters
    ----------
    config : MachineConfig.  contents : what is in the memories.  straps : Straps.
    start : the clock in which the first word is executed.
    core : its number.

    Attributes
    ----------
    clock : in which the next word starts.
    halted, trapped : why no word follows.
    registers, stack, memory, interrupts_on, vector : as they are named.
    seen : Counter of what has been executed: Op, and (Op, what was special about it).
    """

    def __init__(self, config, contents, straps, *, start=0, core=0):
        self.config = config
        self.straps = straps
        self.core = core
        self.clock = start
        self.mask = (1 << config.xlen) - 1
        raw = [*contents.microcode, *[0] * (config.microcode_depth - len(contents.microcode))]
        self.words = [_decoded(word) for word in raw]
        self.memory = [contents.arena.get(address, 0) for address in range(config.arena_depth)]
        self.registers = [0] * 8
        self.vector = 0
        self.seen = Counter()
        self.pc = ENTRY_RESET
        self.stack = []
        self.interrupts_on = False
        self.halted = self.trapped = False
        self._shadow = False
        self._landing = None          # where an indirect call went with the last word
        self._pushed = None           # the clock of the last push
        self._staged = self._tpr = self._destination = 0

    @property
    def interruptible(self):
        """An interrupt may be accepted in place of the next word."""
        return self.interrupts_on and not self._shadow and self._landing is None and not self.trapped

    def __str__(self):
        return (f"pc {self.pc}, interrupts {'on' if self.interrupts_on else 'off'}"
                f"{', after STI' * self._shadow}{', after ICALL' * (self._landing is not None)}{', trapped' * self.trapped}")

    def interrupt(self, clock, vector):
        """The interrupt is accepted in this clock. Gives a record if there is no room for the return address."""
        assert self.interruptible, f"accepted in clock {clock}: {self}"
        if self.halted:
            assert clock >= self.clock, "accepted before the HALT"
            self.clock = clock
        assert clock == self.clock, f"accepted in clock {clock}, in the middle of a word: the next one starts in {self.clock}"
        self.halted = False
        self._enabled = self.interrupts_on
        a, b = self._operands(self.words[self.pc])
        if not self._push(self.pc | 1 << self.config.pc_bits):
            return self._trap(Event.STACK_FAULT, a, b)
        self.seen["interrupt"] += 1
        self.vector = vector
        self.interrupts_on = False
        self.pc = ENTRY_INTERRUPT
        self.clock += 1 + self.straps.interrupt_entry
        return None

    def step(self):
        """Execute the next word; gives its record, or None if it says nothing. A word that takes from the private stack right
        after something was put there waits for one clock first: that is a step of its own."""
        assert not self.halted
        assert not self.trapped
        self._enabled = self.interrupts_on        # as the word finds them
        word = self.words[self.pc]
        op = word.op
        a, b = self._operands(word)
        # Where the microcode store ends there is no word, and so no entry point.
        if self._landing is not None and not (word.entry and self._landing < self.config.microcode_depth):
            self.seen[Op.ICALL, "trap"] += 1
            return self._trap(Event.PANIC, a, b)
        takes = {Op.RET: 1, Op.POP: 1, Op.POPA: 7, Op.IRET: 1, Op.IRQRESTORE: 1}.get(op, 0)
        if takes and not self.stack:
            self.seen[op, "underflow"] += 1
            return self._trap(Event.STACK_FAULT, a, b)
        if takes and self._pushed == self.clock - 1:
            self.seen[op, "after a push"] += 1
            self.clock += 1
            return None
        if op is Op.PANIC:
            return self._trap(Event.PANIC, a, b)
        self.seen[op] += 1
        if op in (Op.JMP, Op.CALL):
            self.seen[op, "[imm]" if word.use_imm else "[ra + imm]"] += 1
        if op in _MEMORY:
            return self._access(word, a, b)

        next_pc = self.pc + 1
        result = None
        taken = True
        clocks = 1
        shadow = False
        match op:
            case Op.NOP | Op.FENCE:
                pass
            case Op.PAUSE:
                next_pc = word.target
            case Op.HALT:
                self.halted = True
            case Op.CLI:
                self.interrupts_on = False
            case Op.STI:
                shadow = not self.interrupts_on
                self.interrupts_on = True
            case Op.IRQSAVE:
                if not self._push(int(self.interrupts_on)):
                    return self._trap(Event.STACK_FAULT, a, b)
                self.interrupts_on = False
            case Op.IRQRESTORE:
                self.interrupts_on = bool(self.stack.pop() & 1)
            case Op.GETIF:
                result = self.interrupts_on
            case Op.IRET:
                value = self.stack.pop()
                next_pc = value
                self.interrupts_on = bool(value >> self.config.pc_bits & 1)
                clocks = 1 + self.straps.interrupt_return
            case Op.CPUID:
                result = self.core
            case Op.SELF:
                result = 1 << self.core
            case Op.TIME:
                result = self.clock
            case Op.VECTOR:
                result = self.vector
            case Op.MOV:
                result = b
            case Op.ADD:
                result = a + b
            case Op.SUB:
                result = a - b
            case Op.AND:
                result = a & b
            case Op.OR:
                result = a | b
            case Op.XOR:
                result = a ^ b
            case Op.ANDN:
                result = a & ~b
            case Op.NOT:
                result = ~b
            case Op.SHL:
                result = a << b % self.config.xlen
                self.seen[op, "modulo xlen"] += b >= self.config.xlen
            case Op.BIT:
                result = 1 << b % self.config.xlen
                self.seen[op, "modulo xlen"] += b >= self.config.xlen
            case Op.FFS:
                result = (a & -a).bit_length() - 1 if a else self.config.xlen
                self.seen[op, "none"] += a == 0
            case Op.POPCNT:
                result = a.bit_count()
            case Op.APICRD:
                result = self._apic(word.imm) & 0xFFFF
            case Op.APICRDH:
                result = self._apic(word.imm) >> 16
            case Op.APICWR:
                self._write_apic(word.imm, self._staged << 16 | b & 0xFFFF)
                self._staged = 0
            case Op.APICWRH:
                self._staged = b & 0xFFFF
            case Op.JMP:
                next_pc, result = word.target, self._address(word, a)
            case Op.CALL:
                if not self._push(next_pc):
                    return self._trap(Event.STACK_FAULT, a, b)
                next_pc, result = word.target, self._address(word, a)
            case Op.ICALL:
                if not self._push(next_pc):
                    return self._trap(Event.STACK_FAULT, a, b)
                next_pc = a
            case Op.RET:
                next_pc = self.stack.pop()
            case Op.BEQ:
                taken = a == b
            case Op.BNE:
                taken = a != b
            case Op.BLT:
                taken = a < b
            case Op.BGE:
                taken = a >= b
            case Op.BTS:
                taken = a & b != 0
            case Op.BTC:
                taken = a & b == 0
            case Op.LOOP:
                result = a - 1
                taken = result != 0
            case Op.PUSH:
                if not self._push(b):
                    return self._trap(Event.STACK_FAULT, a, b)
            case Op.POP:
                result = self.stack.pop()
            case Op.PUSHA:
                for register in range(7):
                    a = self.registers[register]
                    if not self._push(a):
                        return self._trap(Event.STACK_FAULT, a, b)
                    self.clock += 1
                self.clock -= 1
            case Op.POPA:
                # The last one, r0, is written as the word completes: the record is from before.
                for register in range(6, -1, -1):
                    if not self.stack:
                        return self._trap(Event.STACK_FAULT, *self._operands(word))
                    a, b = self._operands(word)
                    self.registers[register] = self.stack.pop()
                    self.clock += 1
                self.clock -= 1
        conditional = op in (Op.BEQ, Op.BNE, Op.BLT, Op.BGE, Op.BTS, Op.BTC, Op.LOOP)
        if conditional:
            self.seen[op, taken] += 1
            if taken:
                next_pc = word.target
        record = None
        if taken and word.event is not Event.NONE:
            record = self._record(word.event, a, b)
        if result is not None:
            self.registers[word.rd] = int(result) & self.mask
        self._next(op, next_pc, shadow)
        self.clock += clocks
        return record

    def _access(self, word, a, b):
        op = word.op
        address = self._address(word, a)
        if not self.config.NULL_WORDS <= address < self.config.arena_depth:
            self.clock += 1           # it is issued, and withdrawn
            return self._trap(Event.FAULT, a, b, address)
        old = self.memory[address]
        expected = self.registers[word.rd]
        new = {
            Op.ST: b, Op.STC: b, Op.SWAP: b, Op.CAS: b if old == expected else old, Op.FADD: old + b, Op.FAND: old & b,
            Op.FANDN: old & ~b, Op.FOR: old | b,
        }.get(op, old)
        self.memory[address] = new & self.mask
        taken = op is Op.LDZ and old == 0 or op is Op.LDNZ and old != 0
        if op in (Op.LDZ, Op.LDNZ):
            self.seen[op, taken] += 1
        if op is Op.CAS:
            self.seen[op, old == expected] += 1
        says = taken or op not in (Op.LDZ, Op.LDNZ)
        self.clock += 2 + self.straps.arena_latency
        record = self._record(word.event if says else Event.NONE, a, b, _MEMORY[op], address,
                              0 if op in (Op.ST, Op.STC) else old)
        if op not in (Op.ST, Op.STC):
            self.registers[word.rd] = old
        self._next(op, word.target if taken else self.pc + 1, False)
        self.clock += 1
        return record

    def _next(self, op, pc, shadow):
        self._landing = pc if op is Op.ICALL else None
        self._shadow = shadow
        self.pc = pc % self.config.microcode_depth

    def _operands(self, word):
        a = self.registers[0 if word.op is Op.PUSHA else word.ra]
        if word.op is Op.STC:
            return a, word.rd << 3 | word.rb
        immediate = word.use_imm and word.op not in _MEMORY
        return a, word.imm if immediate else self.registers[word.rb]

    def _address(self, word, a):
        return (word.imm + (0 if word.use_imm else a)) & self.mask

    def _push(self, value):
        if len(self.stack) == self.config.stack_depth - 1:
            self.seen["overflow"] += 1
            return False
        self.stack.append(value & self.mask)
        self._pushed = self.clock
        return True

    def _apic(self, register):
        return {ApicRegister.ID: self.core << 24, ApicRegister.VERSION: _VERSION, ApicRegister.TPR: self._tpr,
                ApicRegister.ICR2: self._destination << 24}.get(register, 0)

    def _write_apic(self, register, value):
        if register == ApicRegister.TPR:
            self._tpr = value & 0xFF
        elif register == ApicRegister.ICR2:
            self._destination = value >> 24

    def _record(self, event, a, b, op=None, address=0, result=0):
        return CoreRecord(self.clock, self.core, event, self.pc, a, b, op, address, result, self._enabled)

    def _trap(self, event, a, b, address=0):
        self.seen[event] += 1
        self.trapped = True
        return self._record(event, a, b, address=address)
