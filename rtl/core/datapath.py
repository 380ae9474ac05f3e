"""The datapath of a core: eight registers, operands, ALU, branch conditions, the address of a memory operation."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from .microword import LOAD_OPS, MEMORY_BLOCK, SAVED_REGISTERS, MicroWord, Op

__all__ = ["Datapath"]


def _first_set(value):
    """Number of the lowest bit set; the width of ``value`` if there is none."""
    width = len(value)
    lowest = value & -value
    return Cat(
        *(reduce(or_, (lowest[i] for i in range(width) if i >> bit & 1)) for bit in range(exact_log2(width))),
        value == 0,
    )


def _count_set(value):
    """Number of bits set, as a tree of adders."""
    counts = list(value)
    while len(counts) > 1:
        counts = [sum(counts[i:i + 2]) for i in range(0, len(counts), 2)]
    return counts[0]


class Datapath(wiring.Component):
    """Combinational from the word and the registers to its outputs; one register written at the end of a clock.

    Parameters
    ----------
    config : MachineConfig

    Members
    -------
    word : the microword in execution.
    core_id, now, vector, interrupts_on : what CPUID, TIME, VECTOR and GETIF read.
    memory_old, popped, apic_read : what memory operations, POP and APICRD(H) read; sampled when ``write`` is high.
    index : step of PUSHA and POPA.
    write : the word (or a step of POPA) completes: if its operation writes a register, ``result`` goes to ``rd`` at the end of
        this clock.
    a, b : the operands.
    address : the effective address, ``xlen`` bits, not checked.
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
        xlen = self._config.xlen
        word, a, b, result, taken = self.word, self.a, self.b, self.result, self.taken
        shift = exact_log2(xlen)
        writes = Signal()
        rd = Signal(3)
        memory = word.op.as_value()[4:] == MEMORY_BLOCK

        m.d.comb += [
            a.eq(self.registers[Mux(word.op == Op.PUSHA, self.index, word.ra)]),
            rd.eq(Mux(word.op == Op.POPA, SAVED_REGISTERS - 1 - self.index, word.rd)),
            # In a memory operation use_imm is about the address; b stays the data.
            b.eq(Mux(word.op == Op.STC, Cat(word.rb, word.rd),
                     Mux(word.use_imm & ~memory, word.imm, self.registers[word.rb]))),
            self.address.eq(Mux(word.use_imm, 0, a) + word.imm),
            writes.eq(1),
        ]
        with m.Switch(word.op):
            with m.Case(Op.MOV):
                m.d.comb += result.eq(b)
            with m.Case(*LOAD_OPS):
                m.d.comb += result.eq(self.memory_old)
                with m.Switch(word.op):
                    with m.Case(Op.LDZ):
                        m.d.comb += taken.eq(self.memory_old == 0)
                    with m.Case(Op.LDNZ):
                        m.d.comb += taken.eq(self.memory_old != 0)
            with m.Case(Op.ADD):
                m.d.comb += result.eq(a + b)
            with m.Case(Op.SUB):
                m.d.comb += result.eq(a - b)
            with m.Case(Op.AND):
                m.d.comb += result.eq(a & b)
            with m.Case(Op.OR):
                m.d.comb += result.eq(a | b)
            with m.Case(Op.XOR):
                m.d.comb += result.eq(a ^ b)
            with m.Case(Op.ANDN):
                m.d.comb += result.eq(a & ~b)
            with m.Case(Op.SHL):
                m.d.comb += result.eq(a << b[:shift])
            with m.Case(Op.BIT):
                m.d.comb += result.eq(1 << b[:shift])
            with m.Case(Op.FFS):
                m.d.comb += result.eq(_first_set(a))
            with m.Case(Op.POPCNT):
                m.d.comb += result.eq(_count_set(a))
            with m.Case(Op.NOT):
                m.d.comb += result.eq(~b)
            with m.Case(Op.LOOP):
                m.d.comb += [result.eq(a - 1), taken.eq(a != 1)]
            with m.Case(Op.POP, Op.POPA):
                m.d.comb += result.eq(self.popped)
            with m.Case(Op.JMP, Op.CALL):
                m.d.comb += result.eq(self.address)
            with m.Case(Op.SELF):
                m.d.comb += result.eq(1 << self.core_id[:shift])
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
                    with m.Case(Op.BEQ):
                        m.d.comb += taken.eq(a == b)
                    with m.Case(Op.BNE):
                        m.d.comb += taken.eq(a != b)
                    with m.Case(Op.BLT):
                        m.d.comb += taken.eq(a < b)
                    with m.Case(Op.BGE):
                        m.d.comb += taken.eq(a >= b)
                    with m.Case(Op.BTS):
                        m.d.comb += taken.eq((a & b).any())
                    with m.Case(Op.BTC):
                        m.d.comb += taken.eq(~(a & b).any())
        with m.If(self.write & writes):
            m.d.sync += self.registers[rd].eq(result)
        return m
