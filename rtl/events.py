"""The event vocabulary, the layouts of all records, and the digest of a run.

A *record* is what one source reports in one clock. Sources, in the order in which the digest folds them:

=============  ========  =====================================================================================
source         how many  emits
=============  ========  =====================================================================================
``core``       n_cores   CoreRecord, in the clock in which a microword completes, if it carries an event or is a
                         memory operation (or traps)
``apic``       n_cores   ApicRecord, when this core's local APIC sends, hands out or ends an interrupt
``message``    n_cores   MessageRecord, when the fabric delivers a message to this core; or when a message of this core ends
                         without reaching a core
``bank``       n_banks   CommitRecord, when an operation becomes visible in the arena
=============  ========  =====================================================================================

Records only leave the machine. Nothing in it reads them, so observing changes no clock.
"""

from amaranth.hdl import unsigned
from amaranth.lib import data, enum
from amaranth.utils import ceil_log2

from .apic.message import message_layout
from .memory.port import MemoryOp

__all__ = [
    "ApicEvent", "Event", "Whom", "absorb", "apic_record_layout", "commit_record_layout", "contract_layout", "core_record_layout",
    "digest_words", "fold", "message_record_layout", "misr", "trace_layout",
]


class Event(enum.Enum, shape=7):
    """The event that a microword emits when it completes. ``a`` and ``b`` are its two operands: the value of register ``ra``, and
    the value of register ``rb`` or the immediate. A conditional branch emits its event only when it is taken."""

    #: Nothing.
    NONE = 0

    # The scenario's program.
    #: A core starts a command. a: address of the command block.
    COMMAND = 1
    #: A core has finished a command. a: address of the command block.
    COMMAND_DONE = 2
    #: A core has reached the end of its program and goes to sleep; emitted each time.
    PROGRAM_DONE = 3
    #: A core entered the online mask. b: its bit.
    ONLINE = 4
    #: A core left the online mask. b: its bit.
    OFFLINE = 5
    #: The hotplug notifier is about to be called. a: cpu, b: action.
    NOTIFY = 6
    #: The hotplug notifier answers. a: NOTIFY_OK or NOTIFY_BAD.
    NOTIFY_RESULT = 7

    # The sender.
    #: A routine for callers is entered. a: func, b: info. Its label names the kind of the call.
    CALL = 8
    #: The call is for one core. a: its number.
    TARGET = 9
    #: The call is for several cores. a: their mask.
    TARGETS = 10
    #: The csd is taken: LOCK is stored into its flags. a: csd.
    CSD_LOCK = 11
    #: The csd becomes reachable for other cores. b: csd.
    QUEUE = 12
    #: The queue was not empty, so no interrupt is needed: whoever filled it has sent one, or will.
    NOIPI = 13
    #: The send path reads the mask of targets. a: the mask as read, b: the online mask.
    IPI_MASK = 14
    #: The sender starts to wait. a: csd.
    WAIT = 15
    #: The sender has seen WAIT clear. a: csd.
    WOKEN = 16
    #: The routine returns to its caller. a: return value, 0 if it has none.
    RETURN = 17

    # The handler.
    #: The generic handler is about to be entered. b: vector.
    HANDLE = 18
    #: The single handler found nothing in its queue.
    DEQUEUE_EMPTY = 19
    #: The walker looks at an entry of the global queue. a: csd of the entry, b: list head; equal when the walk ends.
    VISIT = 20
    #: The handler has taken its bit of the mask. a: csd. Binds the handler to the call.
    TAKE = 21
    #: The handler has taken an entry from its queue. a: csd. Binds the handler to the call.
    DEQUEUE = 22
    #: The count of remaining targets is stored. a: csd, b: refs.
    REFS = 23
    #: An entry has been unlinked from its list. a: csd.
    LIST_DEL = 24
    #: LOCK is cleared. a: csd, b: flags stored.
    CSD_UNLOCK = 25
    #: The function is called. a: func, b: info.
    FUNC_ENTRY = 26
    #: The function has returned.
    FUNC_EXIT = 27
    #: WAIT is cleared: the call is complete. a: csd, b: flags stored.
    COMPLETE = 28
    #: The generic handler is left.
    HANDLE_END = 29
    #: The interrupt is left (on IRET).
    IRET = 30

    # Locks. The address is that of the memory operation.
    #: A spin lock is tried; it is held from here if the result is 0.
    LOCK_TRY = 31
    #: A spin lock is released.
    UNLOCK = 32

    # Findings.
    #: A WARN_ON is hit. The image tells which one, by the address of the word.
    WARN = 33
    #: The core stops: a PANIC word, or an indirect call to a word that is not an entry point. Emitted by hardware.
    PANIC = 34
    #: The core stops: a memory access outside memory (the record has the address). Emitted by hardware.
    FAULT = 35
    #: The core stops: its private stack overflowed or underflowed. Emitted by hardware.
    STACK_FAULT = 36

    # The command loop and the functions, which belong to no protocol. A call is judged by these events; all others only explain.
    #: A call is about to be requested. a: func, b: info.
    REQUEST = 37
    #: The last requested call begins; its routine is called next. a: what it owes (``contract_layout``), b: mask.
    ISSUE = 38
    #: The routine of the call has returned. a: its result.
    RESULT = 39
    #: A function begins. This word is its entry point. a: info.
    RUN = 40
    #: The function that began last ends.
    RAN = 41

    #: A function clears its core's bit in a mask that a caller may be using. a: info.
    UNMASK = 43

    # Locks that are not a test-and-set.
    #: A spin lock is held from here. a: the address that UNLOCK will have.
    LOCKED = 42

    # What is allocated.
    #: An object is allocated. a: its address.
    ALLOC = 44
    #: An object is freed: no core may access it until it is allocated again. a: its address.
    FREE = 45


class Whom(enum.Enum, shape=2):
    """Which cores a call is for, apart from its caller."""

    #: No core.
    NOBODY = 0
    #: One core: ``target``.
    TARGET = 1
    #: All cores of a mask but the caller.
    MASK = 2
    #: All but the caller.
    OTHERS = 3


#: What a call owes. Only online cores count: one that is online from ISSUE to RESULT must run the function once, one that is online
#: for part of that time may.
contract_layout = data.StructLayout({
    "known": 1,       # 0: it is not known what this routine owes, and nothing of the call is judged
    "whom": Whom,
    "here": 1,        # the caller runs the function, too, before the routine returns
    "wait": 1,        # the function has ended everywhere before the routine returns
    "fails": 1,       # the result reports an offline target: -ENXIO, and then no core runs the function; otherwise 0
    "returns": 1,     # the result is 0
    "spare": 1,
    "target": 8,
})


class ApicEvent(enum.Enum, shape=3):
    """What an ApicRecord reports."""

    #: A write to ICR started a message, which is in the record.
    SEND = 0
    #: The core accepted an interrupt: its vector moved from IRR to ISR.
    ACCEPT = 1
    #: A write to EOI ended the vector in service.
    EOI = 2
    #: A write to ICR was not carried out (ICR busy, or no message that this APIC sends). The refused message is in the record.
    REFUSE = 3


def core_record_layout(config):
    """One completed microword of one core."""
    return data.StructLayout({
        "valid": 1,
        "event": Event,
        "enabled": 1,                 # interrupts are on, as the word found them
        "pc": config.pc_bits,         # address of the microword
        "a": config.xlen,             # value of register ra (for PUSHA, of the one it pushes) in this clock
        "b": config.xlen,             # value of register rb, or the immediate
        "memory": 1,                  # the word was a memory operation, and so:
        "op": MemoryOp,
        "address": config.xlen,       # also valid with FAULT, where there is no operation
        "result": config.xlen,        # what was read (the old value, for atomics); 0 for WRITE
    })


def apic_record_layout(config):
    return data.StructLayout({
        "valid": 1,
        "event": ApicEvent,
        **_message_fields(),          # with ACCEPT and EOI only the vector; all else is 0
    })


def message_record_layout(config):
    """A message is delivered; the target is the number of the record. A message to several cores has a record for each."""
    return data.StructLayout({
        "valid": 1,
        "accepted": 1,                # 0: it has reached no core, and the number of the record is that of the source
        "source": config.core_bits,
        **_message_fields(),
    })


def _message_fields():
    return {name: field.shape for name, field in message_layout}


def commit_record_layout(config):
    """One operation that became visible in one bank."""
    return data.StructLayout({
        "valid": 1,
        "op": MemoryOp,
        "core": config.core_bits,
        "address": config.address_bits,
        "old": config.xlen,
        "new": config.xlen,           # equal to old for READ and for a CAS that failed
    })


def trace_layout(config):
    """The ``trace`` port of a Machine: every source's record of this clock."""
    return data.StructLayout({
        "core": data.ArrayLayout(core_record_layout(config), config.n_cores),
        "apic": data.ArrayLayout(apic_record_layout(config), config.n_cores),
        "message": data.ArrayLayout(message_record_layout(config), config.n_cores),
        "bank": data.ArrayLayout(commit_record_layout(config), config.n_banks),
    })


# --- the digest -----------------------------------------------------------------------------------------------------
#
# Each source owns a 32-bit MISR (polynomial 0x04c11db7, the one of CRC-32, shifted left), 0 at the start of a run. Every
# valid record is absorbed as 32-bit words: the clock (modulo 2**32; 0 is the first clock with ``run`` high), then the
# raw record, least significant word first, zero-extended. The digest is the MISR of the sources' states, in the order
# core, apic, message, bank, each from 0 up. The functions take numbers or signals: ``rtl.digest.Digest`` is made of them,
# with a ``step`` that gives each state a signal.

_POLYNOMIAL = 0x04C11DB7
_MASK = 0xFFFFFFFF


def misr(state, word):
    """One step of the 32-bit multiple-input signature register."""
    return state << 1 & _MASK ^ -(state >> 31 & 1) & _POLYNOMIAL ^ word


def digest_words(layout):
    """How many 32-bit words a record of this layout takes, the clock not counted."""
    return -(-layout.size // 32)


def absorb(state, clock, raw, words, step=misr):
    """The state of a source after a record of so many words."""
    state = step(state, clock & _MASK)
    for _ in range(words):
        state = step(state, raw & _MASK)
        raw >>= 32
    return state


def fold(states, step=misr):
    """The digest of a run from the final states of its sources."""
    result = 0
    for state in states:
        result = step(result, state)
    return result


assert ceil_log2(max(event.value for event in Event) + 1) <= unsigned(7).width
