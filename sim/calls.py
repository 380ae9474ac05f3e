"""Typed records -> calls with an identity.

A call is followed from the moment the command loop requests it (ISSUE) to the last function that ran for it. ``sim.obligations``
records what it owes, and which function ran for it. The protocol's own events only explain: how it was sent, who took it.

For them an address does not identify a call: a csd is reused as soon as it is unlocked, in v4 *before* the function of the earlier
call has run. So a handler is bound to a call once, when it takes its bit or dequeues the entry, and everything it does until it
looks at the next entry belongs to that call.

The activities of a core form a stack of frames, because each may be interrupted, or may call, and then continues:

=============  ==========================================  ===============================================================
frame          pushed by                                   popped by
=============  ==========================================  ===============================================================
``PROGRAM``    (the bottom)                                (never)
``INTERRUPT``  ACCEPT                                      IRET
``COMMAND``    REQUEST                                     RESULT
``CALL``       CALL, in no call                            the RETURN that closes its outermost CALL
``HANDLER``    TAKE, DEQUEUE                               the next TAKE, DEQUEUE or VISIT, HANDLE_END
``FUNCTION``   RUN; of a function without it FUNC_ENTRY    RAN; FUNC_EXIT
=============  ==========================================  ===============================================================

The top frame alone determines the call of a record. A ``CALL`` frame is a call that no command of a known contract requested.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import Enum, IntEnum
from typing import NamedTuple

from rtl.apic.message import DeliveryMode
from rtl.events import ApicEvent, Event, Whom
from rtl.memory.port import MemoryOp

from .obligations import Book, Obligation, cores_of
from .records import ApicRecord, CommitRecord, CoreRecord, Record

__all__ = [
    "TEST_AND_SET", "Activity", "Call", "CallTracker", "Entry", "Frame", "Interrupt", "Message", "Messages", "Stage", "Visit",
]

#: What takes a spin lock. For LOCK_TRY the result decides whether it was taken.
TEST_AND_SET = (MemoryOp.SWAP, MemoryOp.CAS, MemoryOp.OR)


class Stage(IntEnum):
    """How far a call has come: at its caller, at one of its targets, or (for waves) on the core that works on it."""

    #: No call.
    NONE = 0

    # At the caller.
    CALL = 1
    LOCK = 2
    QUEUE = 3
    #: An interrupt was sent for this target.
    IPI = 4
    #: No interrupt was needed: the target's queue was not empty.
    NOIPI = 5
    WAIT = 6
    WOKEN = 7
    RETURN = 8

    # At a target.
    #: The fabric has handed the interrupt to the target's APIC.
    DELIVERED = 9
    #: The target's core has accepted the interrupt.
    GOTIPI = 10
    #: The handler found its queue empty.
    EMPTY = 11
    #: The handler has taken the call. (On a core without a bound call: a generic handler is entered.)
    HANDLE = 12
    UNLOCK = 13
    #: The function is running.
    ENTRY = 14
    EXIT = 15
    COMPLETE = 16

    @property
    def text(self):
        """As displayed: empty for NONE."""
        return self.name.lower() if self else ""


CALLER_STAGES = (Stage.CALL, Stage.LOCK, Stage.QUEUE, Stage.WAIT, Stage.WOKEN, Stage.RETURN)
TARGET_STAGES = (Stage.IPI, Stage.NOIPI, Stage.DELIVERED, Stage.GOTIPI, Stage.EMPTY, Stage.HANDLE, Stage.UNLOCK, Stage.ENTRY,
                 Stage.EXIT, Stage.COMPLETE)


class Visit:
    """What one core did with one call.

    core : its number.  stages : the clock of each stage it reached, in that order.
    runs : how often the core entered the call's function.
    """

    __slots__ = ("core", "runs", "stages")

    def __init__(self, core: int):
        self.core = core
        self.stages: dict[Stage, int] = {}
        self.runs = 0

    def at(self, stage: Stage) -> int | None:
        """The clock at which a stage was first reached, or None."""
        return self.stages.get(stage)

    @property
    def last(self) -> Stage:
        """The stage reached last."""
        return next(reversed(self.stages), Stage.NONE)

    def to_json(self):
        return {stage.text: self.stages.get(stage) for stage in TARGET_STAGES}


class Entry(NamedTuple):
    """A csd was queued for a call. (owner, csd, generation) is the identity that handlers bind to.

    generation : which QUEUE of this csd, counted from 1.
    target : its core, from the preceding TARGET event; None: all targets of the call.
    """

    call: "Call"
    owner: int
    csd: int
    generation: int
    clock: int
    target: int | None


class Call:
    """One use of a routine of the smp_call_function family.

    id : "caller.ordinal", both counted from 0.
    kind : the routine that the caller entered, from CALL; before or without a CALL, the requested kind.
    name : its name in scenarios, if the protocol declares it; else the kind.
    obligation : what it owes; None if that is unknown.
    func, info : the function to call, and its argument.  function : the name of func.
    targets : its target cores.  visits : a Visit for each of them, and for each other core that touched the call.
    entries : what was queued for it, in order.  csds : each csd that it locked or queued.
    wait : the caller may rely on the function having ended when the routine returns. Without an obligation: it has started to wait.
    waiting : it does so now.
    stages : clocks of the caller's stages: the first of each, but the last WOKEN of a caller that waits for one csd after another.
    result : what the routine returned, signed, 0 if it returns nothing; None before that.
    lost : a sentence for each of its interrupt messages that was refused or reached no core.
    """

    __slots__ = ("_targets", "caller", "csds", "entries", "func", "function", "id", "info", "kind", "lost", "name", "obligation",
                 "ordinal", "result", "stages", "visits", "wait", "waiting")

    def __init__(self, caller, ordinal, kind, func, function, info, clock, obligation=None):
        self.caller = caller
        self.ordinal = ordinal
        self.id = f"{caller}.{ordinal}"
        self.kind = self.name = kind
        self.func = func
        self.function = function
        self.info = info
        self.obligation = obligation
        self.visits: dict[int, Visit] = {}
        self.entries: list[Entry] = []
        self.lost: list[str] = []
        self.csds: set[int] = set()
        self.wait = obligation is not None and obligation.contract.wait
        self.waiting = False
        self.stages = {Stage.CALL: clock}
        self.result: int | None = None
        self._targets: set[int] = set()

    @property
    def targets(self) -> set[int]:
        return self._targets if self.obligation is None else set(cores_of(self.obligation.may))

    def add_targets(self, cores: Iterable[int]) -> None:
        """Add targets from the protocol's events: for a call without an obligation nothing else is known."""
        if self.obligation is None:
            for core in cores:
                self._targets.add(core)
                self.visit(core)

    def __repr__(self):
        return f"<{self}>"

    def __str__(self):
        return f"call {self.id} {self.kind} from core {self.caller}"

    def at(self, stage: Stage) -> int | None:
        """The clock at which the caller first reached a stage, or None."""
        return self.stages.get(stage)

    def visit(self, core: int) -> Visit:
        """The Visit of a core, made on first use."""
        visit = self.visits.get(core)
        if visit is None:
            visit = self.visits[core] = Visit(core)
        return visit

    def exited(self, core: int) -> bool:
        """Whether this core has run the function to its end."""
        visit = self.visits.get(core)
        return visit is not None and Stage.EXIT in visit.stages

    @property
    def returned(self) -> bool:
        return Stage.RETURN in self.stages

    @property
    def error(self) -> int | None:
        """What the routine returned if it failed, else None."""
        return self.result or None

    @property
    def unfinished(self) -> list[int]:
        """The targets that have not completed the function, in ascending order."""
        if self.obligation is not None:
            return self.obligation.unfinished
        return [core for core in sorted(self.targets) if not self.exited(core)]

    @property
    def over(self) -> bool:
        """Whether nothing is left to do: the routine has returned, and failed or every target has run the function."""
        return self.returned and (self.error is not None or not self.unfinished)

    @property
    def latency(self) -> int | None:
        """Clocks from CALL to RETURN, or None."""
        return self.stages[Stage.RETURN] - self.stages[Stage.CALL] if self.returned else None

    @property
    def completion(self) -> int | None:
        """Clocks from CALL to the end of the last target's function; None before that, and without targets."""
        exits = [visit.stages[Stage.EXIT] for visit in self.visits.values() if Stage.EXIT in visit.stages]
        return max(exits) - self.stages[Stage.CALL] if exits and not self.unfinished else None

    def to_json(self):
        """The call as plain data. ``csd`` and ``generation`` are those of the first entry, ``entries`` has all of them."""
        first = self.entries[0] if self.entries else None
        return {
            "id": self.id,
            "kind": self.kind,
            "name": self.name,
            "caller": self.caller,
            "targets": sorted(self.targets),
            "wait": self.wait,
            "func": self.function,
            "info": self.info,
            "csd": first and first.csd,
            "generation": first and first.generation,
            "entries": [{"csd": entry.csd, "generation": entry.generation, "target": entry.target} for entry in self.entries],
            "stages": {stage.text: self.stages.get(stage) for stage in CALLER_STAGES},
            "per_target": {str(core): self.visits[core].to_json() for core in sorted(self.visits)},
            "latency": self.latency,
            "completion": self.completion,
            "result": self.result,
        }


class Message(NamedTuple):
    """An interrupt message, in flight or pending at the cores that it names. ``call`` is None if it was sent for no call."""

    source: int
    vector: int
    named: tuple[int, ...]
    call: Call | None


@dataclass
class Messages:
    """What happened to the interrupt messages of a run, including INIT and STARTUP. A message to several cores is sent once, and
    delivered to each of them.

    sent : written to ICR.  refused : not carried out.  delivered : arrivals.  nobody : there was no such core.
    merged : arrived while the same vector was already pending.  unaccepted : arrived, and not yet accepted by the core.
    """

    sent: int = 0
    delivered: int = 0
    merged: int = 0
    refused: int = 0
    nobody: int = 0
    unaccepted: int = 0

    def to_json(self):
        return asdict(self)


class Interrupt(NamedTuple):
    """An interrupt that a core has accepted and not left.

    level : 1 for one that interrupted the program, 2 for one that interrupted that, ...
    messages : the messages that caused it; several if they were merged in IRR.
    """

    level: int
    vector: int
    clock: int
    messages: tuple[Message, ...]


#: What the contract asks for (which cores, and whether the caller too) -> kind of a call without CALL. What asks no core is no
#: call.
_KINDS = {
    (Whom.NOBODY, True): "local", (Whom.TARGET, False): "single", (Whom.TARGET, True): "single", (Whom.MASK, False): "many",
    (Whom.MASK, True): "many", (Whom.OTHERS, False): "all", (Whom.OTHERS, True): "each",
}


class Activity(Enum):
    """The kind of a Frame; the table above says when it begins and ends."""

    PROGRAM = 0
    INTERRUPT = 1
    COMMAND = 2
    CALL = 3
    HANDLER = 4
    FUNCTION = 5


#: A call is made in these.
_CALLING = (Activity.COMMAND, Activity.CALL)
#: ... and handled in these.
_HANDLING = (Activity.HANDLER, Activity.FUNCTION)


class Frame:
    """One activity of a core, the same object from its beginning to its end. ``interrupt`` is the innermost one around it.

    kind : its Activity.  call, stage : what it works on, and how far that is.  visit : of the call, if a target works on it.
    depth : CALLs within a call that have not returned.  target : from its last TARGET.
    request, obligation : of a COMMAND: (func, info), and from ISSUE on what it owes.  runs : of a FUNCTION: it emits RAN.
    """

    __slots__ = ("call", "depth", "interrupt", "kind", "obligation", "request", "runs", "stage", "target", "visit")

    def __init__(self, kind, interrupt, stage, call=None, visit=None, *, depth=0, request=None, runs=False):
        self.kind = kind
        self.interrupt = interrupt
        self.stage = stage
        self.call = call
        self.visit = visit
        self.depth = depth
        self.target = None
        self.request = request
        self.obligation = None
        self.runs = runs


class CallTracker:
    """Builds the calls of a run from its records.

    Parameters
    ----------
    config : the MachineConfig.
    routine_of_pc : microcode address -> name of the routine (``Image.routine``).
    function_name : value of func -> its name.
    book : the Book of obligations; None: an empty one.
    arena : the initial arena: address -> word.
    names : routine -> its name in scenarios (``Image.call_names``).

    Members
    -------
    book : as given.
    arena : what is visible in the arena now: address -> word, for words that are or have been nonzero.
    held : address of a held spin lock -> (core, clock since when).  messages : Messages.
    calls : every call, in the order in which they began.
    call : the call of the last record, or None.
    run : the ``sim.obligations.Run`` that the last record began or ended, or None.
    obligation : the Obligation that the last record began or ended by ISSUE or RESULT, or None.
    vectors : core -> the vector of the last interrupt that it was sent for a call.
    origin : if the last record is the commit of a store or an atomic operation: the CoreRecord that executed it (earlier, under a
        store buffer). Else None.
    """

    def __init__(self, config, routine_of_pc, function_name, book=None, arena=(), names=None):
        self.config = config
        self.function_name = function_name
        self.book = Book(config.n_cores, config.xlen, ()) if book is None else book
        self.run = None
        self.obligation = None
        self.arena = dict(arena)
        self.held: dict[int, tuple[int, int]] = {}
        self.messages = Messages()
        self.calls: list[Call] = []
        self.call: Call | None = None
        self.origin: CoreRecord | None = None
        self.vectors: dict[int, int] = {}
        self._routine_of_pc = routine_of_pc
        self._names = names or {}
        self._cores = [[Frame(Activity.PROGRAM, None, Stage.NONE)] for _ in range(config.n_cores)]
        self._ordinals = [0] * config.n_cores
        self._generations = {}        # csd -> how often it was queued
        self._queued = {}             # csd -> the Entry of its last generation
        # per source: (Message, cores that it has not reached)
        self._travelling: list[list[tuple[Message, set[int]]]] = [[] for _ in range(config.n_cores)]
        self._requested = {}          # (core, vector) -> Messages that arrived and are not yet accepted
        self._stores = {}             # (core, address) -> (CoreRecord, Call) executed, not yet visible
        self._sign = 1 << config.xlen - 1
        self._call_of = {}            # Obligation -> its Call
        self._events = {
            Event.COMMAND: self._command,
            Event.REQUEST: self._request,
            Event.ISSUE: self._issue,
            Event.RESULT: self._result,
            Event.RUN: self._run,
            Event.RAN: self._ran,
            Event.ONLINE: self._online,
            Event.OFFLINE: self._offline,
            Event.UNMASK: self._unmask,
            Event.CALL: self._call,
            Event.TARGET: self._target,
            Event.TARGETS: self._targets,
            Event.CSD_LOCK: self._csd_lock,
            Event.QUEUE: self._queue,
            Event.NOIPI: self._noipi,
            Event.WAIT: self._wait,
            Event.WOKEN: self._woken,
            Event.RETURN: self._return,
            Event.HANDLE: self._handle,
            Event.DEQUEUE_EMPTY: self._dequeue_empty,
            Event.VISIT: self._unbind,
            Event.TAKE: self._bind,
            Event.DEQUEUE: self._bind,
            Event.CSD_UNLOCK: self._csd_unlock,
            Event.FUNC_ENTRY: self._func_entry,
            Event.FUNC_EXIT: self._func_exit,
            Event.COMPLETE: self._complete,
            Event.HANDLE_END: self._unbind,
            Event.IRET: self._iret,
            Event.LOCK_TRY: self._lock_try,
            Event.LOCKED: self._locked,
            Event.UNLOCK: self._unlock,
        }

    @classmethod
    def for_image(cls, config, image, arena=()):
        """A tracker with the names of an assembled protocol. arena : the scenario's additions to the image's."""
        functions = {image.symbols[name]: name for name in sorted(image.entries, reverse=True)}
        return cls(config, image.routine, lambda func: functions.get(func, f"{func:#x}"), Book.for_image(config, image),
                   {**image.arena, **dict(arena)}, image.call_names)

    def add(self, record: Record) -> Call | None:
        """Process the next record, in the order of clocks and sources. Returns its call, or None."""
        self.origin = self.run = self.obligation = None
        if isinstance(record, CoreRecord):
            stack = self._cores[record.core]
            if record.event is Event.NONE:
                call = stack[-1].call
            else:
                act = self._events.get(record.event)
                call = stack[-1].call if act is None else act(record, stack, stack[-1])
            if record.op is not None and record.op is not MemoryOp.READ:
                self._stores.setdefault((record.core, record.address), deque()).append((record, call))
        elif isinstance(record, CommitRecord):
            if record.op is not MemoryOp.READ:
                self.arena[record.address] = record.new
            executed = None if record.op is MemoryOp.READ else self._stores.get((record.core, record.address))
            if executed:
                # Whatever the store buffer does, the stores of one core to one address become visible in order.
                self.origin, call = executed.popleft()
            else:
                call = self._cores[record.core][-1].call
        elif isinstance(record, ApicRecord):
            call = self._apic(record)
        else:
            call = self._message(record)
        self.call = call
        return call

    def call_of(self, obligation: Obligation) -> Call | None:
        """The Call that owes this."""
        return self._call_of.get(obligation)

    def interrupt_of(self, core: int) -> Interrupt | None:
        """The innermost Interrupt that a core is in, or None."""
        return self._cores[core][-1].interrupt

    def context_of(self, core: int) -> tuple[str | None, Stage]:
        """(id of the call that a core works on or None, Stage), as waves show it."""
        top = self._cores[core][-1]
        return top.call and top.call.id, top.stage

    def frames_of(self, core: int) -> tuple[Frame, ...]:
        """What a core works on, the outermost first: each frame interrupts the one before it or was called by it."""
        return tuple(self._cores[core])

    # Spin locks.

    def _lock_try(self, record, stack, top):
        if record.op in TEST_AND_SET and not record.result:
            self.held[record.address] = record.core, record.clock
        return top.call

    def _locked(self, record, stack, top):
        self.held[record.a] = record.core, record.clock
        return top.call

    def _unlock(self, record, stack, top):
        self.held.pop(record.address, None)
        return top.call

    # Interrupts.

    def _apic(self, record):
        stack = self._cores[record.core]
        top = stack[-1]
        if record.event is ApicEvent.REFUSE:
            call = top.call if top.kind in _CALLING else None
            self.messages.refused += 1
            if call is not None:
                call.lost.append(f"its interrupt {record.vector:#x} was refused at clock {record.clock}")
            return top.call
        if record.event is ApicEvent.SEND:
            call = top.call if top.kind in _CALLING else None
            self.messages.sent += 1
            message = Message(record.core, record.vector, tuple(record.named(self.config.n_cores)), call)
            self._travelling[record.core].append((message, set(message.named)))
            if call is not None:
                top.stage = Stage.IPI
                for core in message.named:
                    self.vectors[core] = record.vector
                    call.visit(core).stages.setdefault(Stage.IPI, record.clock)
            return call
        if record.event is not ApicEvent.ACCEPT:
            return top.call
        messages = tuple(self._requested.pop((record.core, record.vector), ()))
        self.messages.unaccepted -= len(messages)
        level = 1 if top.interrupt is None else top.interrupt.level + 1
        stack.append(Frame(Activity.INTERRUPT, Interrupt(level, record.vector, record.clock, messages), Stage.GOTIPI))
        calls = {message.call for message in messages}
        for call in calls:
            self._interrupted(call, record.core, Stage.GOTIPI, record.clock)
        return calls.pop() if len(calls) == 1 else None

    def _interrupted(self, call, core, stage, clock):
        """A core was interrupted for a call that it may have taken already, in the handler of another interrupt."""
        if call is not None:
            stages = call.visit(core).stages
            if Stage.HANDLE not in stages:
                stages.setdefault(stage, clock)

    def _message(self, record):
        message = self._arrives(record)
        if message is None:
            # A duplicate, or without a sender: a fault.
            self.messages.delivered += record.target is not None
            return None
        if record.target is None:
            self.messages.nobody += 1
            if message.call is not None:
                message.call.lost.append(f"its interrupt {record.vector:#x} to {record.destination:#x} reached no core at clock "
                                         f"{record.clock}")
            return message.call
        self.messages.delivered += 1
        if record.mode == DeliveryMode.FIXED.value:
            requested = self._requested.setdefault((record.target, record.vector), [])
            self.messages.merged += bool(requested)
            self.messages.unaccepted += 1
            requested.append(message)
            if message.call is not None:
                message.call.visit(record.target).stages.setdefault(Stage.DELIVERED, record.clock)
        return message.call

    def handled(self, core):
        """The call that a core handles, in its handler or in the function: the innermost one, or None. A protocol that has gone
        wild may name a core that does not exist."""
        frames = reversed(self._cores[core]) if core < len(self._cores) else ()
        return next((frame.call for frame in frames if frame.kind in _HANDLING and frame.call is not None), None)

    def _arrives(self, record):
        """The oldest Message that this may deliver, or None. It ends when it has reached all its cores, or none exists."""
        travelling = self._travelling[record.source]
        for index, (message, left) in enumerate(travelling):
            if message.vector == record.vector and (record.target is None or record.target in left):
                left.discard(record.target)
                if record.target is None or not left:
                    del travelling[index]
                return message
        return None

    def _iret(self, record, stack, top):
        for index in range(len(stack) - 1, 0, -1):
            if stack[index].kind is Activity.INTERRUPT:
                del stack[index:]
                break
        return top.call

    # The program and the sender.

    def _command(self, record, stack, top):
        # A core that starts a command is in no call and no interrupt: frames left open never end.
        del stack[1:]
        return None

    def _online(self, record, stack, top):
        self.book.set_online(record.b)
        return top.call

    def _offline(self, record, stack, top):
        self.book.set_offline(record.b)
        return top.call

    def _unmask(self, record, stack, top):
        self.book.unmask(record.core)
        return top.call

    def _request(self, record, stack, top):
        stack.append(Frame(Activity.COMMAND, top.interrupt, Stage.NONE, request=(record.a, record.b, self.book.request())))
        return None

    def _issue(self, record, stack, top):
        index = next((index for index in range(len(stack) - 1, 0, -1) if stack[index].kind is Activity.COMMAND), 0)
        if not index or stack[index].obligation is not None:
            return top.call
        # Frames in between, perhaps an interrupt without an end, are over.
        del stack[index + 1:]
        top = stack[index]
        func, info, spared = top.request
        obligation = self.book.issue(record.core, func, info, record.a, record.b, record.clock, spared)
        self.obligation = top.obligation = obligation
        kind = obligation and _KINDS.get((obligation.contract.whom, obligation.contract.here))
        if kind is not None:
            top.call = self._begin(record, kind, func, info, obligation)
            top.stage = Stage.CALL
        return top.call

    def _result(self, record, stack, top):
        # Frames that the routine has left open never end.
        index = next((index for index in range(len(stack) - 1, 0, -1) if stack[index].kind is Activity.COMMAND), 0)
        if not index:
            return top.call
        call, obligation = stack[index].call, stack[index].obligation
        del stack[index:]
        if obligation is not None:
            self.obligation = obligation
            self.book.result(obligation, record.a, record.clock)
        if call is not None:
            contract = obligation.contract
            call.result = obligation.result if contract.fails or contract.returns else 0
            call.waiting = False
            call.stages[Stage.RETURN] = record.clock
        return call

    def _begin(self, record, kind, func, info, obligation=None):
        core = record.core
        call = Call(core, self._ordinals[core], kind, func, self.function_name(func), info, record.clock, obligation)
        call.name = self._names.get(kind, kind)
        self._ordinals[core] += 1
        self.calls.append(call)
        if obligation is not None:
            self._call_of[obligation] = call
            for target in cores_of(obligation.may):
                call.visit(target)
        return call

    def _call(self, record, stack, top):
        kind = self._routine_of_pc(record.pc) or f"{record.pc:#x}"
        if top.kind in _CALLING and top.call is not None:
            if top.kind is Activity.COMMAND and not top.depth:
                top.call.kind, top.call.name = kind, self._names.get(kind, kind)
            top.depth += 1
            return top.call
        call = self._begin(record, kind, record.a, record.b)
        stack.append(Frame(Activity.CALL, top.interrupt, Stage.CALL, call, depth=1))
        return call

    def _target(self, record, stack, top):
        if top.call is not None and top.kind in _CALLING:
            top.target = record.a
            top.call.add_targets([record.a])
        return top.call

    def _targets(self, record, stack, top):
        if top.call is not None and top.kind in _CALLING:
            top.call.add_targets(cores_of(record.a))
        return top.call

    def _csd_lock(self, record, stack, top):
        if top.call is not None and top.kind in _CALLING:
            top.call.csds.add(record.a)
            self._caller(top, Stage.LOCK, record.clock)
        return top.call

    def _queue(self, record, stack, top):
        csd = record.b
        generation = self._generations[csd] = self._generations.get(csd, 0) + 1
        if top.call is None or top.kind not in _CALLING:
            self._queued.pop(csd, None)
            return top.call
        entry = Entry(top.call, record.core, csd, generation, record.clock, top.target)
        self._queued[csd] = entry
        top.call.entries.append(entry)
        top.call.csds.add(csd)
        self._caller(top, Stage.QUEUE, record.clock)
        return top.call

    def _noipi(self, record, stack, top):
        if top.call is not None and top.kind in _CALLING:
            top.stage = Stage.NOIPI
            if top.target is not None:
                top.call.visit(top.target).stages.setdefault(Stage.NOIPI, record.clock)
        return top.call

    def _wait(self, record, stack, top):
        if top.call is not None and top.kind in _CALLING:
            top.call.waiting = True
            top.call.wait |= top.call.obligation is None
            self._caller(top, Stage.WAIT, record.clock)
        return top.call

    def _woken(self, record, stack, top):
        if top.call is not None and top.kind in _CALLING:
            top.call.waiting = False
            top.stage = Stage.WOKEN
            top.call.stages[Stage.WOKEN] = record.clock
        return top.call

    def _return(self, record, stack, top):
        if top.call is None or top.kind not in _CALLING:
            return top.call
        top.depth -= 1
        # For a call that a command requested, RESULT holds what its caller gets.
        if not top.depth and top.kind is Activity.CALL:
            value = record.a
            top.call.result = value - 2 * self._sign if value & self._sign else value
            self._caller(top, Stage.RETURN, record.clock)
            stack.pop()
        return top.call

    def _caller(self, top, stage, clock):
        top.stage = stage
        top.call.stages.setdefault(stage, clock)

    # The handler.

    def _handle(self, record, stack, top):
        top.stage = Stage.HANDLE
        return top.call

    def _dequeue_empty(self, record, stack, top):
        top.stage = Stage.EMPTY
        if top.interrupt is not None:
            for message in top.interrupt.messages:
                self._interrupted(message.call, record.core, Stage.EMPTY, record.clock)
        return top.call

    def _bind(self, record, stack, top):
        if top.kind is Activity.HANDLER:
            stack.pop()
        entry = self._queued.get(record.a)
        if entry is None:
            stack.append(Frame(Activity.HANDLER, top.interrupt, Stage.HANDLE))
            return None
        visit = entry.call.visit(record.core)
        if Stage.HANDLE not in visit.stages:
            if top.interrupt is not None:
                # The interrupt whose handler took the call; not necessarily the one that was sent for it.
                visit.stages[Stage.GOTIPI] = top.interrupt.clock
            visit.stages[Stage.HANDLE] = record.clock
        stack.append(Frame(Activity.HANDLER, top.interrupt, Stage.HANDLE, entry.call, visit))
        return entry.call

    def _unbind(self, record, stack, top):
        if top.kind is Activity.HANDLER:
            stack.pop()
            return stack[-1].call
        return top.call

    def _run(self, record, stack, top):
        if record.pc not in self.book.functions:
            return top.call
        level = 0 if top.interrupt is None else top.interrupt.level
        run = self.run = self.book.run(record.core, record.pc, record.a, record.clock, enabled=record.enabled, level=level)
        call, visit = self._visit(record, top, run)
        if visit is not None and top.interrupt is not None and Stage.HANDLE not in visit.stages:
            # No handler has taken the call explicitly.
            visit.stages.setdefault(Stage.GOTIPI, top.interrupt.clock)
        return self._function(record, stack, top, call, visit, runs=True)

    def _visit(self, record, top, run=None):
        """(Call, Visit) of a function: of the call that is owed it; else what the core works on explains it."""
        if run is not None and run.obligation is not None:
            call = self._call_of[run.obligation]
            return call, call.visit(record.core)
        if top.call is not None and top.kind in _CALLING:
            # No handler: the caller runs the function itself.
            top.call.add_targets([record.core])
            return top.call, top.call.visit(record.core)
        return top.call, top.visit

    def _function(self, record, stack, top, call, visit, *, runs):
        if visit is not None:
            visit.runs += 1
            visit.stages.setdefault(Stage.ENTRY, record.clock)
        stack.append(Frame(Activity.FUNCTION, top.interrupt, Stage.ENTRY, call, visit, runs=runs))
        return call

    def _ran(self, record, stack, top):
        self.run = self.book.ran(record.core, record.clock)
        # Frames that the function has left open never end.
        while self.run is not None and not (top.kind is Activity.FUNCTION and top.runs) and len(stack) > 1:
            stack.pop()
            top = stack[-1]
        return self._end(record, stack, top)

    def _func_entry(self, record, stack, top):
        if record.a in self.book.functions:
            return top.call
        return self._function(record, stack, top, *self._visit(record, top), runs=False)

    def _func_exit(self, record, stack, top):
        return top.call if top.kind is not Activity.FUNCTION or top.runs else self._end(record, stack, top)

    def _end(self, record, stack, top):
        if top.kind is Activity.FUNCTION:
            stack.pop()
            stack[-1].stage = Stage.EXIT
            if top.visit is not None:
                top.visit.stages.setdefault(Stage.EXIT, record.clock)
        return top.call

    def _csd_unlock(self, record, stack, top):
        return self._handler(top, Stage.UNLOCK, record.clock)

    def _complete(self, record, stack, top):
        return self._handler(top, Stage.COMPLETE, record.clock)

    def _handler(self, top, stage, clock):
        if top.kind is Activity.HANDLER:
            top.stage = stage
            if top.visit is not None:
                top.visit.stages.setdefault(stage, clock)
        return top.call
