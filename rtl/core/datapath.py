"""The datapath of a core: eight registers, operands, ALU, branch conditions, the address of a memory operation."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from .microword import LOAD_OPS, MEMORY_BLOCK, SAVED_REGISTERS, MicroWord, Op

__all__ = ["Datapath"]


def _first_set(value):
    """Number of the lowest bit set; the width of ``value`` if there is none."""
    return Mux(value.any(), _lowest(value), len(value))


def _lowest(value):
    """Number of the lowest bit set, if there is one: in which quarter it is (or half, of two), and where in that."""
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
    """Number of bits set, as a tree of adders."""
    counts = list(value)
    while len(counts) > 1:
        counts = [sum(counts[i:i + 2]) for i in range(0, len(counts), 2)]
    return counts[0]


class Datapath(wiring.Component):
    """Combinational from the word and the registers to its outputs; one register written at the end of a clock.

    There is one adder, one logic unit and one shifter. They do every operation that is a case of theirs: a comparison is a
    difference of which only the carry is used, or an exclusive or; an address is a sum; a move adds 0.

    Parameters
    ----------
    config : MachineConfig

    Members
    -------
    word : the microword in execution.
    core_id, now, vector, interrupts_on : what CPUID, TIME, VECTOR and GETIF read.
    memory_old, popped, apic_read : what memory operations, POP and APICRD(H) read; sampled when ``write`` is high.
    index : step of PUSHA and POPA.
    compares : ``a`` is the value of register ``rd``, which CAS compares with.
    write : the word (or a step of POPA) completes: if its operation writes a register, ``result`` goes to ``rd`` at the end of
        this clock.
    a, b : the operands.
    address : the effective address, ``xlen`` bits, not checked; undefined for operations that have none, and with
        ``compares``.
    taken : the word is a conditional branch and its condition holds.
    result : what is written.
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
            "index": In(3),
            "compares": In(1),
            "write": In(1),
            "a": Out(xlen),
            "b": Out(xlen),
            "address": Out(xlen),
            "taken": Out(1),
            "result": Out(xlen),
            "registers": Out(data.ArrayLayout(xlen, 8)),
        })

    def elaborate(self, platform):
        m = Module()
        word, a, b, result, taken = self.word, self.a, self.b, self.result, self.taken
        memory = word.op.as_value()[4:] == MEMORY_BLOCK
        m.d.comb += [
            a.eq(self.registers[Mux(word.op == Op.PUSHA, self.index, Mux(self.compares, word.rd, word.ra))]),
            # In a memory operation use_imm concerns the address; b is still the data.
            b.eq(Mux(word.op == Op.STC, Cat(word.rb, word.rd),
                     Mux(word.use_imm & ~memory, word.imm, self.registers[word.rb]))),
        ]
        total, borrows = self._add(m, memory)
        logic = self._logic(m)
        shifted = self._shift(m)
        m.d.comb += self.address.eq(total)

        writes = Signal()
        rd = Signal(3)
        m.d.comb += [
            writes.eq(1),
            rd.eq(Mux(word.op == Op.POPA, SAVED_REGISTERS - 1 - self.index, word.rd)),
        ]
        with m.Switch(word.op):
            with m.Case(*LOAD_OPS):
                m.d.comb += result.eq(self.memory_old)
                with m.Switch(word.op):
                    with m.Case(Op.LDZ):
                        m.d.comb += taken.eq(self.memory_old == 0)
                    with m.Case(Op.LDNZ):
                        m.d.comb += taken.eq(self.memory_old != 0)
            with m.Case(Op.ADD, Op.SUB, Op.MOV, Op.NOT, Op.JMP, Op.CALL):
                m.d.comb += result.eq(total)
            with m.Case(Op.LOOP):
                m.d.comb += [result.eq(total), taken.eq(a != 1)]
            with m.Case(Op.AND, Op.OR, Op.XOR, Op.ANDN):
                m.d.comb += result.eq(logic)
            with m.Case(Op.SHL, Op.BIT, Op.SELF):
                m.d.comb += result.eq(shifted)
            with m.Case(Op.FFS):
                m.d.comb += result.eq(_first_set(a))
            with m.Case(Op.POPCNT):
                m.d.comb += result.eq(_count_set(a))
            with m.Case(Op.POP, Op.POPA):
                m.d.comb += result.eq(self.popped)
            with m.Case(Op.CPUID):
                m.d.comb += result.eq(self.core_id)
            with m.Case(Op.TIME):
                m.d.comb += result.eq(self.now)
            with m.Case(Op.VECTOR):
                m.d.comb += result.eq(self.vector)
            with m.Case(Op.GETIF):
                m.d.comb += result.eq(self.interrupts_on)
            with m.Case(Op.APICRD):
                m.d.comb += result.eq(self.apic_read[:16])
            with m.Case(Op.APICRDH):
                m.d.comb += result.eq(self.apic_read[16:32])
            with m.Default():
                m.d.comb += writes.eq(0)
                with m.Switch(word.op):
                    with m.Case(Op.BEQ, Op.BTC):
                        m.d.comb += taken.eq(~logic.any())
                    with m.Case(Op.BNE, Op.BTS):
                        m.d.comb += taken.eq(logic.any())
                    with m.Case(Op.BLT):
                        m.d.comb += taken.eq(borrows)
                    with m.Case(Op.BGE):
                        m.d.comb += taken.eq(~borrows)
        with m.If(self.write & writes):
            m.d.sync += self.registers[rd].eq(result)
        return m

    def _add(self, m, memory):
        """(The sum, it is a difference below 0.)"""
        word, xlen = self.word, self._config.xlen
        addresses, from_zero = Signal(), Signal()
        left, right, total = Signal(xlen), Signal(xlen), Signal(xlen + 1)
        carry = Signal()
        m.d.comb += [
            addresses.eq(memory | (word.op == Op.JMP) | (word.op == Op.CALL)),
            from_zero.eq(addresses & word.use_imm),
            left.eq(Mux(from_zero, 0, self.a)),
            right.eq(Mux(addresses, word.imm, self.b)),
        ]
        with m.Switch(word.op):
            with m.Case(Op.MOV):
                m.d.comb += left.eq(0)
            with m.Case(Op.NOT):
                m.d.comb += [left.eq(0), right.eq(~self.b)]
            with m.Case(Op.SUB, Op.BLT, Op.BGE):
                m.d.comb += [right.eq(~self.b), carry.eq(1)]
            with m.Case(Op.LOOP):
                m.d.comb += right.eq(-1)
        # With the carry as a bit below, it is one chain.
        m.d.comb += total.eq((Cat(1, left) + Cat(carry, right))[1:])
        return total[:xlen], ~total[xlen]

    def _logic(self, m):
        """One function of two bits, for each bit."""
        function, result = Signal(2), Signal(self._config.xlen)
        with m.Switch(self.word.op):
            with m.Case(Op.OR):
                m.d.comb += function.eq(1)
            with m.Case(Op.XOR, Op.BEQ, Op.BNE):
                m.d.comb += function.eq(2)
            with m.Case(Op.ANDN):
                m.d.comb += function.eq(3)
        with m.Switch(function):
            with m.Case(0):
                m.d.comb += result.eq(self.a & self.b)
            with m.Case(1):
                m.d.comb += result.eq(self.a | self.b)
            with m.Case(2):
                m.d.comb += result.eq(self.a ^ self.b)
            with m.Case(3):
                m.d.comb += result.eq(self.a & ~self.b)
        return result

    def _shift(self, m):
        """What is shifted to the left: an operand, or a single bit."""
        word, bits = self.word, exact_log2(self._config.xlen)
        return Mux(word.op == Op.SHL, self.a, 1) << Mux(word.op == Op.SELF, self.core_id[:bits], self.b[:bits])
