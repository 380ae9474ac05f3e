"""Protocols as images: they fit the store, their private stack is balanced, their barriers and locks have names."""

from itertools import product

import pytest

from rtl.config import MachineConfig
from rtl.core.microword import ENTRY_INTERRUPT, ENTRY_RESET, SAVED_REGISTERS, MicroWord, Op
from sim.microcode.assembler import assemble
from sim.microcode.protocols import find_protocol, shipped_protocols

BRANCHES = (Op.BEQ, Op.BNE, Op.BLT, Op.BGE, Op.BTS, Op.BTC, Op.LOOP, Op.LDZ, Op.LDNZ)
DEFINES = [{"CONFIG_CPU_HOTPLUG": free, "DRAIN_CLOCKS": drain} for free, drain in product((0, 1), (0, 512))]


#: (protocol, its constants).
IMAGES = [*(("v4", defines) for defines in DEFINES), *((name, {"X2APIC": 1}) for name in shipped_protocols())]


def image(defines=None, n_cores=4, xlen=16, protocol="v4"):
    return assemble(find_protocol(protocol), n_cores=n_cores, xlen=xlen, defines=defines or {})


@pytest.mark.parametrize("n_cores, xlen", [(1, 16), (3, 16), (16, 16), (32, 32), (64, 64)])
@pytest.mark.parametrize("protocol, defines", IMAGES, ids=str)
def test_fits_the_store(protocol, defines, n_cores, xlen):
    assert len(image(defines, n_cores, xlen, protocol).words) <= MachineConfig().microcode_depth


# --- the private stack ----------------------------------------------------------------------------------------------


class Stack:
    """Follows every path through a routine, and keeps what it has pushed at each word."""

    PUSHES = {Op.PUSH: ["word"], Op.IRQSAVE: ["flag"], Op.PUSHA: ["word"] * SAVED_REGISTERS}
    POPS = {Op.POP: ["word"], Op.IRQRESTORE: ["flag"], Op.POPA: ["word"] * SAVED_REGISTERS}

    def __init__(self, assembled):
        self.words = [MicroWord.from_bits(word) for word in assembled.words]
        self.label = assembled.label

    def routines(self, entries):
        """Where routines start: what is called, what may be called indirectly, and where the hardware goes."""
        called = {word.target for word in self.words if word.op is Op.CALL}
        return called | entries | {ENTRY_RESET, ENTRY_INTERRUPT}

    def check(self, start):
        """A routine returns with nothing of its own on the stack, whatever way it takes to a word it finds the same there, and
        what was pushed as an interrupt flag is popped as one."""
        found = {}
        paths = [(start, ())]
        while paths:
            pc, pushed = paths.pop()
            if pc in found:
                assert found[pc] == pushed, f"{self.label(pc)} is reached with {found[pc]} and with {pushed} on the stack"
                continue
            found[pc] = pushed
            word = self.words[pc]
            if word.op in (Op.RET, Op.IRET):
                assert not pushed, f"{self.label(pc)} returns with {pushed} on the stack"
                continue
            pops = self.POPS.get(word.op, [])
            assert list(pushed[len(pushed) - len(pops):]) == pops, f"{self.label(pc)} pops {pops} from {pushed}"
            pushed = (*pushed[:len(pushed) - len(pops)], *self.PUSHES.get(word.op, []))
            if word.op in (Op.JMP, Op.PAUSE, *BRANCHES):
                paths.append((word.target, pushed))
            if word.op not in (Op.JMP, Op.PAUSE):
                paths.append((pc + 1, pushed))


@pytest.mark.parametrize("protocol, defines", IMAGES, ids=str)
def test_the_private_stack_is_balanced_on_every_path(protocol, defines):
    assembled = image(defines, protocol=protocol)
    stack = Stack(assembled)
    routines = stack.routines({assembled.symbols[name] for name in assembled.entries})
    assert assembled.symbols["send_IPI_cpu"] in routines
    for start in routines:
        stack.check(start)


# --- names ----------------------------------------------------------------------------------------------------------

BARRIERS = {
    "csd_complete_wmb": ["csd_complete"],
    "csd_unlock_wmb": ["csd_unlock"],
    "list_add_rcu_wmb": ["call_many"],
    "smp_mb_before_ipi": ["call_many"],
    "handler_mb": ["generic_smp_call_function_interrupt"],
    "spin_unlock_wmb": ["spin_unlock"],
}
MANY, SINGLE = "generic_smp_call_function_interrupt", "generic_smp_call_function_single_interrupt"
#: A lock is taken out with every place that takes it and gives it back.
LOCKS = {
    "call_single_queue_lock": ["generic_exec_single"] * 2 + [SINGLE] * 2,
    "cfd_lock": ["call_many"] * 2 + [MANY] * 3,
    "call_function_lock": ["ipi_call_lock", "ipi_call_unlock"] + ["call_many"] * 2 + [MANY] * 2,
}


def test_names_of_barriers_and_locks():
    assembled = image()
    found = {name: [assembled.routine(address) for address in addresses] for name, addresses in assembled.names.items()}
    assert found == BARRIERS | LOCKS


def test_named_words_can_be_taken_out():
    """What is left must be a program: a barrier is a fence, a lock the call of its routine, and neither is a jump that the words
    behind it rely on."""
    assembled = image()
    operation = {address: MicroWord.from_bits(word).op for address, word in enumerate(assembled.words)}
    for name, addresses in assembled.names.items():
        assert {operation[address] for address in addresses} == {Op.CALL if name in LOCKS else Op.FENCE}


@pytest.mark.parametrize("protocol", shipped_protocols())
def test_every_barrier_and_lock_has_a_name(protocol):
    """But one lock: what keeps two hotplug operations apart is no part of the protocol."""
    assembled = image({"X2APIC": 1}, protocol=protocol)
    named = {address for addresses in assembled.names.values() for address in addresses}
    routines = {assembled.symbols["spin_lock"], assembled.symbols["spin_unlock"]}
    for address, raw in enumerate(assembled.words):
        word = MicroWord.from_bits(raw)
        if word.op is Op.FENCE or word.op in (Op.CALL, Op.JMP) and word.target in routines:
            assert address in named or assembled.routine(address) == "cpu_hotplug_done", assembled.label(address)
