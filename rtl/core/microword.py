"""The micro-instruction word: 51 bits, and what each operation does with its fields.

``OPERATIONS`` is the only description of the operations: the fields that each uses, its syntax, its memory request, and whether it
jumps. The core, assembler, listing and ``docs/microcode.md`` derive from it.
"""

from dataclasses import dataclass

from amaranth.lib import data, enum

from ..events import Event
from ..memory.port import Fence, MemoryOp

__all__ = [
    "CONDITIONAL_OPS", "ENTRY_INTERRUPT", "ENTRY_RESET", "IMMEDIATE_BITS", "JUMP_OPS", "LOAD_OPS", "MEMORY_BLOCK", "MEMORY_OPS",
    "NO_OPS", "OPERATIONS", "SAVED_REGISTERS", "STORE_OPS", "TARGET_BITS", "Fence", "MicroWord", "Op", "Operation",
]

#: The word at which a core starts, after reset and after STARTUP.
ENTRY_RESET = 0
#: The word at which an accepted interrupt starts. VECTOR reads its vector.
ENTRY_INTERRUPT = 1

IMMEDIATE_BITS = 16
#: Width of a branch target: it limits the size of the microcode store.
TARGET_BITS = 11


class Op(enum.Enum, shape=6):
    """The operation. Unused words of the microcode store are 0, which is PANIC; a number without an operation acts as PANIC."""

    PANIC = 0x00
    NOP = 0x01
    PAUSE = 0x02
    HALT = 0x03
    CLI = 0x04
    STI = 0x05
    IRQSAVE = 0x06
    IRQRESTORE = 0x07
    GETIF = 0x08
    IRET = 0x09
    CPUID = 0x0A
    SELF = 0x0B
    TIME = 0x0C
    VECTOR = 0x0D
    FENCE = 0x0F

    MOV = 0x10
    ADD = 0x11
    SUB = 0x12
    AND = 0x13
    OR = 0x14
    XOR = 0x15
    ANDN = 0x16
    NOT = 0x17
    SHL = 0x18
    BIT = 0x19
    FFS = 0x1A
    POPCNT = 0x1B
    APICRD = 0x1C
    APICRDH = 0x1D
    APICWR = 0x1E
    APICWRH = 0x1F

    # MEMORY_BLOCK: the memory operations.
    LD = 0x20
    ST = 0x21
    STC = 0x22
    SWAP = 0x23
    CAS = 0x24
    FADD = 0x25
    FAND = 0x26
    FANDN = 0x27
    FOR = 0x28
    LDZ = 0x29
    LDNZ = 0x2A

    JMP = 0x30
    CALL = 0x31
    ICALL = 0x32
    RET = 0x33
    BEQ = 0x34
    BNE = 0x35
    BLT = 0x36
    BGE = 0x37
    BTS = 0x38
    BTC = 0x39
    LOOP = 0x3A
    PUSH = 0x3B
    POP = 0x3C
    PUSHA = 0x3D
    POPA = 0x3E


#: The numbers without an operation.
NO_OPS = tuple(sorted(set(range(1 << Op.as_shape().width)) - {op.value for op in Op}))


class MicroWord(data.Struct):
    """One microword. A field that the operation does not use is 0; the datapath relies on it."""

    op: Op
    #: Register written.
    rd: 3
    #: Register read as operand a; base of an address.
    ra: 3
    #: Register read as operand b; data of a store.
    rb: 3
    #: Operand b is ``imm``. In a memory operation, JMP or CALL, instead: the address is ``imm`` alone, without a base.
    use_imm: 1
    #: Immediate, zero-extended to ``xlen``; in a memory operation, JMP or CALL: offset, added modulo ``2**xlen``.
    imm: IMMEDIATE_BITS
    #: Microcode address of a branch or call.
    target: TARGET_BITS
    #: An indirect call may land here.
    entry: 1
    # Last: if no logic uses the records, this field is never read, and synthesis removes the block RAMs that hold only it.
    event: Event


@dataclass(frozen=True)
class Operation:
    """The syntax and the effect of an operation.

    ``operands`` lists the operands in order, one letter each:

    ``d`` register written (rd) - ``a`` register read (ra) - ``r`` register read (rb) - ``b`` register (rb) or immediate -
    ``m`` effective address ``[ra + imm]``, ``[ra]`` or ``[imm]`` - ``t`` label (target) - ``i`` immediate only -
    ``c`` register read as the value to compare, and written (rd) - ``k`` constant from 0 to 63 (in rd and rb).
    Operands in parentheses are optional: without them the word is encoded as ``rd = [rd]``, which changes nothing.

    memory : its memory request, or None.
    conditional : it jumps to its target only if a condition holds.
    """

    operands: str
    clocks: str
    text: str
    memory: MemoryOp | None = None
    conditional: bool = False

    @property
    def writes(self):
        """Whether it writes rd."""
        return not {"d", "c"}.isdisjoint(self.operands)


def _memory(asks, operands, text, conditional=False):
    return Operation(operands, "3 + contention", text, asks, conditional)


def _branch(operands, text):
    return Operation(operands, "1", text, conditional=True)


#: By operation, in the order of the documentation.
OPERATIONS = {
    Op.PANIC: Operation("", "-", "stop the core; reported as a trap"),
    Op.NOP: Operation("", "1", "nothing (a place for an event)"),
    Op.PAUSE: Operation("t", "1", "cpu_relax(): the status says `pausing`; go to t"),
    Op.HALT: Operation("", "until woken", "wait for an interrupt; with interrupts off only INIT wakes the core"),
    Op.CLI: Operation("", "1", "interrupts off"),
    Op.STI: Operation("", "1", "interrupts on, after the microinstruction that follows (the STI shadow)"),
    Op.IRQSAVE: Operation("", "1", "local_irq_save(): push the interrupt flag, interrupts off"),
    Op.IRQRESTORE: Operation("", "1, 2 after a push or call", "local_irq_restore(): pop the interrupt flag; no shadow"),
    Op.GETIF: Operation("d", "1", "rd = 1 if interrupts are on, else 0"),
    Op.IRET: Operation("", "1 + interrupt_return", "return from interrupt: pop microcode address and interrupt flag"),
    Op.CPUID: Operation("d", "1", "rd = number of this core"),
    Op.SELF: Operation("d", "1", "rd = 1 << number of this core: its bit in a cpumask"),
    Op.TIME: Operation("d", "1", "rd = clocks since the start of the run, modulo 2**xlen"),
    Op.VECTOR: Operation("d", "1", "rd = vector of the interrupt accepted last"),
    Op.FENCE: Operation("i", "1 + drain", "order memory operations: 0 all, 1 stores, 2 loads"),
    Op.MOV: Operation("db", "1", "rd = b"),
    Op.ADD: Operation("dab", "1", "rd = ra + b"),
    Op.SUB: Operation("dab", "1", "rd = ra - b"),
    Op.AND: Operation("dab", "1", "rd = ra & b"),
    Op.OR: Operation("dab", "1", "rd = ra | b"),
    Op.XOR: Operation("dab", "1", "rd = ra ^ b"),
    Op.ANDN: Operation("dab", "1", "rd = ra & ~b"),
    Op.NOT: Operation("db", "1", "rd = ~b"),
    Op.SHL: Operation("dab", "1", "rd = ra << b (b modulo xlen)"),
    Op.BIT: Operation("db", "1", "rd = 1 << b (b modulo xlen)"),
    Op.FFS: Operation("da", "1", "rd = number of the lowest bit set in ra, or xlen if there is none"),
    Op.POPCNT: Operation("da", "1", "rd = number of bits set in ra"),
    Op.APICRD: Operation("di", "1", "rd = low 16 bits of APIC register i"),
    Op.APICRDH: Operation("di", "1", "rd = high 16 bits of APIC register i"),
    Op.APICWR: Operation("ri", "1", "APIC register i = the staged bits, then the low 16 bits of rb; clears the stage"),
    Op.APICWRH: Operation("r", "1", "stage the low 16 bits of rb as bits 31:16 of the next APICWR; moves the staged bits up by 16"),
    Op.LD: _memory(MemoryOp.READ, "dm", "rd = memory"),
    Op.LDZ: _memory(MemoryOp.READ, "dmt", "rd = memory; go to t if that is 0", conditional=True),
    Op.LDNZ: _memory(MemoryOp.READ, "dmt", "rd = memory; go to t if that is not 0", conditional=True),
    Op.ST: _memory(MemoryOp.WRITE, "mr", "memory = rb"),
    Op.STC: _memory(MemoryOp.WRITE, "mk", "memory = k; k is operand b"),
    Op.SWAP: _memory(MemoryOp.SWAP, "dmr", "rd = memory, memory = rb, atomically"),
    Op.CAS: _memory(MemoryOp.CAS, "cmr", "if memory == rd: memory = rb; rd = old memory; atomically"),
    Op.FADD: _memory(MemoryOp.ADD, "dmr", "rd = memory, memory += rb, atomically"),
    Op.FAND: _memory(MemoryOp.AND, "dmr", "rd = memory, memory &= rb, atomically"),
    Op.FANDN: _memory(MemoryOp.AND, "dmr", "rd = memory, memory &= ~rb, atomically (an AND of ~rb)"),
    Op.FOR: _memory(MemoryOp.OR, "dmr", "rd = memory, memory |= rb, atomically"),
    Op.JMP: Operation("t(dm)", "1", "go to t; rd = effective address"),
    Op.CALL: Operation("t(dm)", "1", "push the next address, go to t; rd = effective address (an argument)"),
    Op.ICALL: Operation("a", "1", "push the next address, go to ra; traps if that word is not an entry point"),
    Op.RET: Operation("", "1, 2 after a push or call", "pop the address and go there"),
    Op.BEQ: _branch("abt", "go to t if ra == b"),
    Op.BNE: _branch("abt", "go to t if ra != b"),
    Op.BLT: _branch("abt", "go to t if ra < b, unsigned"),
    Op.BGE: _branch("abt", "go to t if ra >= b, unsigned"),
    Op.BTS: _branch("abt", "go to t if ra & b is not 0 (a bit is set)"),
    Op.BTC: _branch("abt", "go to t if ra & b is 0 (the bits are clear)"),
    Op.LOOP: _branch("dat", "rd = ra - 1; go to t if that is not 0. With rd = ra and t = itself: work for ra clocks"),
    Op.PUSH: Operation("r", "1", "push rb on the private stack"),
    Op.POP: Operation("d", "1, 2 after a push or call", "pop rd from the private stack"),
    Op.PUSHA: Operation("", "7", "push r0 to r6"),
    Op.POPA: Operation("", "7, 8 after a push or call", "pop r6 to r0"),
}

#: The number of registers that PUSHA and POPA save.
SAVED_REGISTERS = 7

#: Operations that jump to their target only if a condition holds. Such a word emits its event only if it jumps.
CONDITIONAL_OPS = tuple(op for op, operation in OPERATIONS.items() if operation.conditional)
#: Operations that always jump to their target.
JUMP_OPS = tuple(op for op, operation in OPERATIONS.items() if "t" in operation.operands and not operation.conditional)

#: Operations that access memory: all, those that only write, and those that return a value.
MEMORY_OPS = tuple(op for op, operation in OPERATIONS.items() if operation.memory is not None)
STORE_OPS = tuple(op for op in MEMORY_OPS if not OPERATIONS[op].writes)
LOAD_OPS = tuple(op for op in MEMORY_OPS if OPERATIONS[op].writes)
#: The upper bits (from bit 4) of the number of every memory operation, and of no other: the datapath decodes them by it.
MEMORY_BLOCK = 0x2
