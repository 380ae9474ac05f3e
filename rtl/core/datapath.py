"""The datapath of a core: eight registers, operands, ALU, branch conditions, memory addresses."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from .microword import LOAD_OPS, MEMORY_BLOCK, OPERATIONS, SAVED_REGISTERS, MicroWord, Op

__all__ = ["Datapath"]


def _first_set(value):
    """Number of the lowest set bit; the width of ``value`` if no bit is set."""
    return Mux(value.any(), _lowest(value), len(value))


def _lowest(value):
    """Number of the lowest set bit, if any: first the quarter (of two bits: the half) that contains it, then its place there."""
    if len(value) == 1:
        return Const(0, 0)
    parts = min(4, len(value))
    found = None
    for part in reversed(range(parts)):
        bits = value.word_select(part, len(value) // parts)
        here = Cat(_lowest(bits), Const(part, exact_log2(parts)))
        found = here if found is None else Mux(bits.any(), here, found)
    return found


def _count_set(value):
    """Number of set bits: those of four bits from logic, then a tree of adders. (Adders alone are a longer path.)"""
    counts = [_count_four(value.word_select(number, 4)) for number in range(len(value) // 4)]
    while len(counts) > 1:
        counts = [first + second for first, second in zip(counts[::2], counts[1::2], strict=True)]
    return counts[0]


def _count_four(bits):
    a, b, c, d = bits
    return Cat(a ^ b ^ c ^ d, (a & b | c & d | (a | b) & (c | d)) & ~bits.all(), bits.all())


class Datapath(wiring.Component):
    """Combinational from the word and the registers to the outputs; writes at most one register, at the end of a clock.

    There is one adder, one logic unit and one shifter. Adder and logic unit share two inputs, ``left`` and ``right``, and also do
    the operations that are special cases of theirs: a comparison is a subtraction that uses only the carry, or an exclusive or;
    an address is a sum; a move is an OR with 0. ``moved`` is what goes elsewhere than to a register, so it waits for the logic unit
    alone.

    Parameters
    ----------
    config : MachineConfig

    Members
    -------
    word : the microword being executed.
    core_id, now, vector, interrupts_on : the values that CPUID, TIME, VECTOR and GETIF read.
    memory_old, popped, apic_read : the values that memory operations, POP and APICRD(H) read; sampled when ``write`` is high.
    pushes : register that PUSHA pushes; 0 in every other word.
    pops : register that POPA writes, counted from the last one; 0 in every other word.
    compares : ``left`` is register ``rd``: the value that CAS compares with memory.
    write : the word, or a step of POPA, completes: if its operation writes a register, that register becomes ``result`` at the
        end of this clock.
    a, b : the operands, as a record shows them.
    left : the value that CAS compares with memory.
    data : the data of a memory operation.
    address : the effective address: ``xlen`` bits, not checked; undefined for operations without an address, and with
        ``compares``.
    moved : the value that PUSH, PUSHA and IRQSAVE push and APICWR(H) writes; the target of ICALL, RET and IRET.
    taken : the word is a conditional branch and its condition holds.
    result : the value to write.
    registers : r0 to r7.
    """

    def __init__(self, config):
        self._config = config
        xlen = config.xlen
        super().__init__({
            "word": In(MicroWord),
            "core_id": In(8),
            "now": In(xlen),
            "vector": In(8),
            "interrupts_on": In(1),
            "memory_old": In(xlen),
            "popped": In(xlen),
            "apic_read": In(64),
            "pushes": In(3),
            "pops": In(3),
            "compares": In(1),
            "write": In(1),
            "a": Out(xlen),
            "b": Out(xlen),
            "left": Out(xlen),
            "data": Out(xlen),
            "address": Out(xlen),
            "moved": Out(xlen),
            "taken": Out(1),
            "result": Out(xlen),
            "registers": Out(data.ArrayLayout(xlen, 8)),
        })

    def elaborate(self, platform):
        m = Module()
        xlen = self._config.xlen
        right, carry, total = Signal(xlen), Signal(), Signal(xlen + 1)
        self._operands(m, right, carry)
        m.d.comb += [
            # The carry enters as an extra low bit, so there is only one carry chain.
            total.eq((Cat(1, self.left) + Cat(carry, right))[1:]),
            self.address.eq(total),
        ]
        logic, loaded = self._move(m, right), self._load(m)
        self._branch(m, logic | loaded, ~total[xlen])
        self._write(m, total[:xlen], loaded | self._rest(m, right))
        return m

    def _operands(self, m, right, carry):
        """The operands of record, memory, adder and logic unit. carry : into the adder."""
        word, a, b, xlen = self.word, self.a, self.b, self._config.xlen
        memory = word.op.as_value()[4:] == MEMORY_BLOCK
        constant = Cat(word.rb, word.rd)
        stored = Signal(xlen)         # register rb
        m.d.comb += [
            # PUSHA has no ra, so it is 0. All operands wait for this address, and it does not wait for the operation's number.
            a.eq(self.registers[Mux(self.compares, word.rd, word.ra | self.pushes)]),
            stored.eq(self.registers[word.rb]),
            # In a memory operation, use_imm affects only the address; b is still the data.
            b.eq(Mux(word.op == Op.STC, constant, Mux(word.use_imm & ~memory, word.imm, stored))),
            self.data.eq(Mux(word.op == Op.STC, constant, Mux(word.op == Op.FANDN, ~stored, stored))),
        ]
        addresses, alone, zero, inverts = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            addresses.eq(memory | (word.op == Op.JMP) | (word.op == Op.CALL)),
            alone.eq(addresses & word.use_imm & ~self.compares),
        ]
        with m.Switch(word.op):
            with m.Case(Op.MOV, Op.NOT, Op.PUSH, Op.APICWR, Op.APICWRH):
                m.d.comb += alone.eq(1)
        with m.Switch(word.op):
            with m.Case(Op.LOOP, Op.PUSHA, Op.ICALL):
                # They have no immediate, so it is 0.
                m.d.comb += zero.eq(1)
        with m.Switch(word.op):
            with m.Case(Op.NOT, Op.ANDN, Op.LOOP):
                m.d.comb += inverts.eq(1)
            with m.Case(Op.SUB, Op.BLT, Op.BGE):
                m.d.comb += [inverts.eq(1), carry.eq(1)]
        m.d.comb += [
            self.left.eq(Mux(alone, 0, a)),
            right.eq(Mux(word.use_imm | addresses | zero, word.imm, stored) ^ inverts.replicate(xlen)),
        ]

    def _move(self, m, right):
        """``moved``: the result of the logic unit, a value from the stack, or the interrupt flag. Returns the result of the logic
        unit alone: branches test it."""
        word, left, logic = self.word, self.left, Signal(self._config.xlen)
        passed = Signal.like(logic)
        with m.Switch(word.op):
            with m.Case(Op.AND, Op.ANDN, Op.BTS, Op.BTC):
                m.d.comb += logic.eq(left & right)
            with m.Case(Op.XOR, Op.BEQ, Op.BNE):
                m.d.comb += logic.eq(left ^ right)
            with m.Case(Op.OR, Op.MOV, Op.NOT, Op.PUSH, Op.PUSHA, Op.ICALL, Op.APICWR, Op.APICWRH):
                m.d.comb += logic.eq(left | right)
        with m.Switch(word.op):
            with m.Case(Op.POP, Op.POPA, Op.RET, Op.IRET):
                m.d.comb += passed.eq(self.popped)
            with m.Case(Op.GETIF, Op.IRQSAVE):
                m.d.comb += passed.eq(self.interrupts_on)
        m.d.comb += self.moved.eq(logic | passed)
        return logic

    def _load(self, m):
        """The value that a load returns; 0 for other operations."""
        loaded = Signal(self._config.xlen)
        with m.Switch(self.word.op), m.Case(*LOAD_OPS):
            m.d.comb += loaded.eq(self.memory_old)
        return loaded

    def _rest(self, m, right):
        """The result of the units that only write a register; 0 for other operations."""
        word, rest = self.word, Signal(self._config.xlen)
        with m.Switch(word.op):
            with m.Case(Op.SHL, Op.BIT, Op.SELF):
                m.d.comb += rest.eq(self._shift(right))
            with m.Case(Op.FFS):
                m.d.comb += rest.eq(_first_set(self.left))
            with m.Case(Op.POPCNT):
                m.d.comb += rest.eq(_count_set(self.left))
            with m.Case(Op.CPUID):
                m.d.comb += rest.eq(self.core_id)
            with m.Case(Op.TIME):
                m.d.comb += rest.eq(self.now)
            with m.Case(Op.VECTOR):
                m.d.comb += rest.eq(self.vector)
            with m.Case(Op.APICRD):
                m.d.comb += rest.eq(self.apic_read[:16])
            with m.Case(Op.APICRDH):
                m.d.comb += rest.eq(self.apic_read[16:32])
        return rest

    def _shift(self, right):
        """An operand, or a single bit, shifted to the left."""
        word, bits = self.word, exact_log2(self._config.xlen)
        return Mux(word.op == Op.SHL, self.left, 1) << Mux(word.op == Op.SELF, self.core_id[:bits], right[:bits])

    def _branch(self, m, tested, borrows):
        """Whether the condition holds. All but three conditions test whether ``tested`` is 0."""
        taken, zero = self.taken, Signal()
        m.d.comb += zero.eq(tested == 0)
        with m.Switch(self.word.op):
            with m.Case(Op.BEQ, Op.BTC, Op.LDZ):
                m.d.comb += taken.eq(zero)
            with m.Case(Op.BNE, Op.BTS, Op.LDNZ):
                m.d.comb += taken.eq(~zero)
            with m.Case(Op.BLT):
                m.d.comb += taken.eq(borrows)
            with m.Case(Op.BGE):
                m.d.comb += taken.eq(~borrows)
            with m.Case(Op.LOOP):
                m.d.comb += taken.eq(self.left != 1)

    def _write(self, m, total, others):
        """total : of the adder.  others : 0, or the result of a unit that is neither the adder nor in ``moved``."""
        word, result = self.word, self.result
        adds, writes, rd = Signal(), Signal(), Signal(3)
        with m.Switch(word.op), m.Case(Op.ADD, Op.SUB, Op.JMP, Op.CALL, Op.LOOP):
            m.d.comb += adds.eq(1)
        with m.Switch(word.op), m.Case(Op.POPA, *(op for op, operation in OPERATIONS.items() if operation.writes)):
            m.d.comb += writes.eq(1)
        m.d.comb += [
            result.eq(self.moved | others | Mux(adds, total, 0)),
            rd.eq(Mux(word.op == Op.POPA, SAVED_REGISTERS - 1 - self.pops, word.rd)),
        ]
        with m.If(self.write & writes):
            m.d.sync += self.registers[rd].eq(result)
