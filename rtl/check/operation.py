"""An operation: an action of a core that other cores may need to know, as its Context puts it on the Monitor's bus."""

from amaranth.lib import data, enum

from ..events import Event

__all__ = ["DELAY", "MAX_CALLS", "MAX_WAIT", "SOURCES", "Operation", "operation_layout", "terms_layout"]

#: Nested calls that a core can be in at the same time; the same limit applies to functions.
MAX_CALLS = 3
#: Clocks that an operation can wait for the bus.
MAX_WAIT = 3
#: What does not go over the bus takes effect this many clocks after its record: after every operation of that clock and of earlier
#: ones.
DELAY = 2 + MAX_WAIT


class Operation(enum.Enum, shape=4):
    """The kinds of operations. ``a`` and ``b`` are operands."""

    # From the command loop and the functions.
    #: A call is requested. a: func, b: info.
    REQUEST = 0
    #: ... and begins. a: its contract, b: mask.
    ISSUE = 1
    #: A function begins. a: func, b: info.
    RUN = 2
    #: Cores come online. b: mask.
    ONLINE = 3
    #: ... and go.
    OFFLINE = 4

    # To a csd: a.
    #: LOCK is taken.
    LOCK = 5
    #: ... and released. b: flags.
    UNLOCK = 6
    #: It becomes reachable for others.
    QUEUE = 7
    #: A handler has taken its bit.
    TAKE = 8
    #: ... or the entry.
    DEQUEUE = 9
    #: It is unlinked.
    DELETE = 10
    #: The count of remaining targets is stored. b: count.
    COUNT = 11
    #: WAIT is cleared. b: flags.
    COMPLETE = 12

    # To a spin lock: a.
    #: It is taken.
    HOLD = 13
    #: ... and released.
    RELEASE = 14

    #: A function clears its core's bit in a mask that a call may be using.
    UNMASK = 15


#: Event -> the Operation, and the fields of the record that are its operands.
SOURCES = {
    Event.REQUEST: (Operation.REQUEST, "a", "b"),
    Event.ISSUE: (Operation.ISSUE, "a", "b"),
    Event.RUN: (Operation.RUN, "pc", "a"),
    Event.ONLINE: (Operation.ONLINE, "a", "b"),
    Event.OFFLINE: (Operation.OFFLINE, "a", "b"),
    Event.UNMASK: (Operation.UNMASK, "a", "b"),
    Event.CSD_LOCK: (Operation.LOCK, "a", "b"),
    Event.CSD_UNLOCK: (Operation.UNLOCK, "a", "b"),
    Event.QUEUE: (Operation.QUEUE, "b", "b"),
    Event.TAKE: (Operation.TAKE, "a", "b"),
    Event.DEQUEUE: (Operation.DEQUEUE, "a", "b"),
    Event.LIST_DEL: (Operation.DELETE, "a", "b"),
    Event.REFS: (Operation.COUNT, "a", "b"),
    Event.COMPLETE: (Operation.COMPLETE, "a", "b"),
    Event.LOCK_TRY: (Operation.HOLD, "address", "b"),
    Event.LOCKED: (Operation.HOLD, "a", "b"),
    Event.UNLOCK: (Operation.RELEASE, "address", "b"),
}


def terms_layout(config):
    """The meaning of an ISSUE: its contract, with the cores concerned. All 0 if its contract is unknown."""
    return data.StructLayout({
        "known": 1,
        "call": 1,                    # some core is asked
        "here": 1,                    # from the contract, like the next three
        "wait": 1,
        "fails": 1,
        "returns": 1,
        "asked": config.n_cores,      # with the caller, if it is ``here``
        "online": config.n_cores,     # those of them that are online
    })


def operation_layout(config):
    return data.StructLayout({
        "valid": 1,
        "age": range(MAX_WAIT + 1),   # clocks that it has waited
        "operation": Operation,
        "a": config.xlen,
        "b": config.xlen,
        "calls": MAX_CALLS,           # calls that its core is in: in unary, from bit 0
        "calling": 1,                 # the innermost of them has not been interrupted
        "again": 1,                   # DEQUEUE, DELETE: the other half of the core's last one
    })
