"""Synthetic runs: an image of the shape of v4's, and a small language in which a stream of records is written down."""

from pathlib import Path

from amaranth.lib import data

from rtl.apic.message import DeliveryMode
from rtl.config import MachineConfig
from rtl.core.microword import MicroWord
from rtl.events import ApicEvent, Event, Whom
from rtl.memory.port import MemoryOp
from sim.calls import CallTracker
from sim.engines.engine import Ending, Outcome
from sim.microcode.image import Field, Image, ObjectType, StoredObject
from sim.microcode.roles import Part
from sim.obligations import Contract
from sim.records import ApicRecord, CommitRecord, CoreRecord, MessageRecord

WAIT, LOCK = 1, 2
#: Vectors of the two kinds of call.
MANY, SINGLE = 0xFC, 0xFB

_ROUTINES = ("reset", "smp_call_function_single", "smp_call_function_many", "on_each_cpu", "csd_lock", "csd_unlock", "handler")
_FUNCTIONS = ("func_nop", "func_add")
#: Whoever says these, it is no word of the protocol.
_BY_HARDWARE = (Event.NONE, Event.PANIC, Event.FAULT, Event.STACK_FAULT)


def _flat(name, *parts):
    """A struct from field names and (name, struct) pairs."""
    fields, inside = [], [("", name, 0)]
    for part in parts:
        if isinstance(part, Field):
            fields.append(Field(part.path, len(fields), part.points_to))
        elif isinstance(part, tuple):
            start = len(fields)
            inside += [(f"{part[0]}.{path}".rstrip("."), struct, start + offset) for path, struct, offset in part[1].parts]
            fields += [Field(f"{part[0]}.{field.path}", start + field.offset) for field in part[1].fields]
        else:
            fields.append(Field(part, len(fields)))
    return ObjectType(name, len(fields), tuple(fields), tuple(inside))


def _words(symbols, unsaid):
    """Of what an image is asked for, words have only the event: there is one of each, but the unsaid, somewhere, and each function
    begins with RUN."""
    place = data.Layout.cast(MicroWord)["event"]
    words = [0] * 16 * len(symbols)
    for event in Event:
        if event not in (*_BY_HARDWARE, *unsaid):
            words[event.value] = event.value << place.offset
    if Event.RUN not in unsaid:
        for name in _FUNCTIONS:
            words[symbols[name]] = Event.RUN.value << place.offset
    return tuple(words)


_ROLES = {
    "csd": (Part("csd"),),
    **{f"csd.{name}": (Part("csd", name),) for name in ("func", "info", "flags")},
    "csd.next": (Part("csd", "list.next"),),
    "flag.wait": (Part("CSD_FLAG_WAIT", value=WAIT),),
    "flag.lock": (Part("CSD_FLAG_LOCK", value=LOCK),),
    "targets.count": (Part("cfd", "refs"),),
    "targets.mask": (Part("cfd", "cpumask"),),
    "list": (Part("call_function", "queue"),),
    "stack": (Part("stack"),),
    "stack.end": (Part("stack_pointer"),),
}


def make_image(config, unsaid=()):
    """16 microcode words per routine; objects as v4 declares them, a ``stack`` of 8 words per core.

    unsaid : Events that no word says.
    """
    list_head = _flat("list_head", "next", "prev")
    csd = _flat("csd", ("list", list_head), "func", "info", "flags")
    word = ObjectType("word", 1, (Field("", 0),))
    cfd = _flat("cfd", ("csd", csd), "lock", "refs", Field("cpumask", 0, "word"))
    call_function = _flat("call_function", ("queue", list_head), "lock")
    objects = [StoredObject("call_function", "call_function", call_function, 16)]
    for cpu in range(config.n_cores):
        address = 64 + 64 * cpu
        for base, kind in (("csd_data", csd), ("cfd_data", cfd), ("cfd_mask", word)):
            objects.append(StoredObject(f"{base}[{cpu}]", base, kind, address, cpu))
            address += kind.size
        objects += [StoredObject(f"stack[{cpu}][{index}]", "stack", word, address + index, cpu, index) for index in range(8)]
        objects.append(StoredObject(f"stack_pointer[{cpu}]", "stack_pointer", word, address + 8, cpu))
    names = {item.name: item.address for item in objects}
    symbols = {name: 16 * index for index, name in enumerate((*_ROUTINES, *_FUNCTIONS))}
    return Image(
        path=Path("v4.uasm"), title="v4", n_cores=config.n_cores, xlen=config.xlen, words=_words(symbols, unsaid), symbols=symbols,
        entries=frozenset(_FUNCTIONS), objects=tuple(objects),
        arena={names[f"cfd_data[{cpu}]"] + 7: names[f"cfd_mask[{cpu}]"] for cpu in range(config.n_cores)},
        constants={"CSD_FLAG_WAIT": WAIT, "CSD_FLAG_LOCK": LOCK},
        structs={kind.name: kind for kind in (list_head, csd, cfd, call_function)},
        warnings={symbols["csd_unlock"]: ("csd_unlock_not_locked", "csd_unlock() of a csd that is not locked")},
        roles=_ROLES, names={}, lines={}, percpu_base=64, percpu_shift=6, heap=64 + 64 * config.n_cores)


class Stream:
    """Records of a run, one clock after the other. Every method that adds a record takes the next clock and returns it.

    ``say`` is a core record with an event; ``at`` gives its routine, ``store=(address, new)`` makes its word a store, which is
    committed in the same clock, or, with ``late=True``, when ``drain()`` says so. In clock 0 all cores come online.

    unsaid : Events that the image does not have. They are not in the stream either, and take no clock.
    """

    def __init__(self, n_cores=4, *, unsaid=()):
        self.config = MachineConfig().with_cores(n_cores)
        self.unsaid = frozenset(Event[name] for name in unsaid)
        self.image = make_image(self.config, self.unsaid)
        self.records = []
        self.clock = 0
        self.arena = dict(self.image.arena)
        self._late = []
        self._word = (1 << self.config.xlen) - 1
        if Event.ONLINE not in self.unsaid:
            self.records.append(CoreRecord(0, 0, Event.ONLINE, 0, 0, (1 << n_cores) - 1, None, 0, 0))

    def address(self, name):
        return self.image.address_of(name)

    def wait(self, clocks):
        self.clock += clocks

    def say(self, core, event, a=0, b=0, *, at="reset", store=None, result=0, op=None, late=False, enabled=False):
        if Event[event] in self.unsaid:
            return self.clock if store is None else self.store(core, *store, op=op, late=late)
        clock = self._next()
        address = 0
        if store is not None:
            op = op or MemoryOp.WRITE
            address = store[0]
        self.records.append(CoreRecord(clock, core, Event[event], self.image.symbols[at], a, b, op, address, result, enabled))
        if store is not None:
            if late:
                self._late.append((core, *store))
            else:
                self._commit(clock, core, op, *store)
        return clock

    def store(self, core, address, new, **options):
        return self.say(core, "NONE", store=(address, new), **options)

    def read(self, core, address):
        value = self.arena.get(address, 0)
        clock = self._next()
        self.records.append(CoreRecord(clock, core, Event.NONE, 0, 0, 0, MemoryOp.READ, address, value))
        self._commit(clock, core, MemoryOp.READ, address, value)
        return clock

    def drain(self):
        """The oldest store that waits becomes visible."""
        clock = self._next()
        core, address, new = self._late.pop(0)
        self._commit(clock, core, MemoryOp.WRITE, address, new)
        return clock

    def lock(self, core, name, *, taken=False):
        return self.say(core, "LOCK_TRY", store=(self.address(name), 1), op=MemoryOp.SWAP, result=int(taken))

    def unlock(self, core, name):
        return self.say(core, "UNLOCK", store=(self.address(name), 0))

    def send(self, source, destination, vector=MANY, **fields):
        self.records.append(ApicRecord(self._next(), source, ApicEvent.SEND, vector, destination, **fields))
        return self.clock

    def deliver(self, source, destination, vector=MANY, *, mode=DeliveryMode.FIXED, accepted=True):
        self.records.append(MessageRecord(self._next(), source, destination if accepted else None, vector, destination, mode.value))
        return self.clock

    def accept(self, core, vector=MANY):
        self.records.append(ApicRecord(self._next(), core, ApicEvent.ACCEPT, vector))
        return self.clock

    def interrupt(self, source, destination, vector=MANY):
        """Send, deliver, accept: what brings a core into a handler."""
        self.send(source, destination, vector)
        self.deliver(source, destination, vector)
        return self.accept(destination, vector)

    # What the command loop and the functions say.

    def request(self, core, *, func="func_nop", info=5):
        return self.say(core, "REQUEST", self.image.symbols[func], info)

    def issue(self, core, whom=Whom.MASK, mask=0, **contract):
        """``contract``: fields of a Contract; ``known`` unless it says otherwise."""
        parts = {"known": True, "whom": whom, **dict.fromkeys(("here", "wait", "fails", "returns", "target"), 0), **contract}
        return self.say(core, "ISSUE", Contract(**parts).encode(), mask)

    def ask(self, core, whom=Whom.MASK, mask=0, *, func="func_nop", info=5, **contract):
        """REQUEST and ISSUE."""
        self.request(core, func=func, info=info)
        return self.issue(core, whom, mask, **contract)

    def result(self, core, value=0):
        return self.say(core, "RESULT", value & self._word)

    def begin(self, core, *, func="func_nop", info=5, enabled=False):
        """A function begins (RUN)."""
        return self.say(core, "RUN", info, at=func, enabled=enabled)

    def ran(self, core):
        """It has ended."""
        return self.say(core, "RAN")

    def run(self, core, *, func="func_nop", info=5, clocks=0, enabled=False):
        """A function, from RUN to RAN, which is the next clock if it takes none."""
        self.begin(core, func=func, info=info, enabled=enabled)
        self.wait(clocks)
        return self.ran(core)

    # Whole steps of v4.

    def publish(self, caller, targets, csd, *, func="func_nop", info=5, wait=True):
        """smp_call_function_many from its start to the entry's publication."""
        mask = sum(1 << core for core in targets)
        self.ask(caller, Whom.MASK, mask, func=func, info=info, wait=wait)
        self.say(caller, "CALL", self.image.symbols[func], info, at="smp_call_function_many")
        self.say(caller, "TARGETS", mask)
        self.say(caller, "CSD_LOCK", csd, store=(csd + 4, LOCK))
        self.store(caller, csd + 4, LOCK | WAIT if wait else LOCK)
        self.store(caller, self.address(f"cfd_mask[{caller}]"), mask)
        self.say(caller, "REFS", csd, len(targets), store=(csd + 6, len(targets)))
        return self.say(caller, "QUEUE", 0, csd, store=(self.address("call_function.queue.next"), csd))

    def leave_call(self, caller, value=0):
        """RETURN and RESULT."""
        self.say(caller, "RETURN", value & self._word)
        return self.result(caller, value)

    def take(self, core, caller, csd):
        """The walker comes to an entry, takes its bit and counts down. Returns the count."""
        refs = self.arena[csd + 6] - 1
        self.say(core, "VISIT", csd, 16)
        mask = self.address(f"cfd_mask[{caller}]")
        self.say(core, "TAKE", csd, 1 << core, store=(mask, self.arena[mask] & ~(1 << core)))
        self.say(core, "REFS", csd, refs & self._word, store=(csd + 6, refs & self._word))
        return refs

    def delete(self, core, csd):
        """The last target unlinks and unlocks an entry, before it runs the function."""
        self.say(core, "LIST_DEL", csd)
        flags = self.arena[csd + 4] & ~LOCK
        return self.say(core, "CSD_UNLOCK", csd, flags, store=(csd + 4, flags))

    def complete(self, core, csd):
        flags = self.arena[csd + 4] & ~WAIT
        return self.say(core, "COMPLETE", csd, flags, store=(csd + 4, flags))

    def leave(self, core):
        """The walker comes to the head, and the interrupt is left."""
        self.say(core, "VISIT", 16, 16)
        self.say(core, "HANDLE_END")
        return self.say(core, "IRET")

    def handle(self, core, caller, csd, **function):
        """A whole run of the many handler with one entry, in a level that ``accept`` has opened."""
        self.say(core, "HANDLE", b=MANY, at="handler")
        refs = self.take(core, caller, csd)
        if not refs:
            self.delete(core, csd)
        self.run(core, **function)
        if not refs and self.arena[csd + 4] & WAIT:
            self.complete(core, csd)
        return self.leave(core)

    def many(self, caller, targets, *, wait=True, **function):
        """A whole call of smp_call_function_many, its targets one after the other."""
        csd = self.address(f"cfd_data[{caller}]")
        self.publish(caller, targets, csd, wait=wait, **function)
        for core in targets:
            self.send(caller, core)
            self.deliver(caller, core)
        if wait:
            self.say(caller, "WAIT", csd)
        for core in targets:
            self.accept(core)
            self.handle(core, caller, csd, **function)
        if wait:
            self.say(caller, "WOKEN", csd)
        return self.leave_call(caller)

    def queue_single(self, caller, target, csd, *, func="func_nop", info=5, wait=True):
        """smp_call_function_single from its start to the sending of its interrupt."""
        self.ask(caller, Whom.TARGET, func=func, info=info, target=target, wait=wait, fails=True)
        self.say(caller, "CALL", self.image.symbols[func], info, at="smp_call_function_single")
        self.say(caller, "TARGET", target)
        if not wait:
            self.say(caller, "CSD_LOCK", csd, store=(csd + 4, LOCK))
        else:
            self.store(caller, csd + 4, WAIT)
        self.say(caller, "QUEUE", 0, csd)
        return self.send(caller, target, SINGLE)

    def handle_single(self, target, csd, **function):
        """A whole run of the single handler with one entry, in a level that ``accept`` has opened."""
        self.say(target, "HANDLE", b=SINGLE, at="handler")
        self.say(target, "DEQUEUE", csd)
        if self.arena[csd + 4] & LOCK:
            flags = self.arena[csd + 4] & ~LOCK
            self.say(target, "CSD_UNLOCK", csd, flags, store=(csd + 4, flags))
        self.run(target, **function)
        if self.arena[csd + 4] & WAIT:
            self.complete(target, csd)
        self.say(target, "HANDLE_END")
        return self.say(target, "IRET")

    def single(self, caller, target, *, func="func_nop", info=5):
        """A whole call of smp_call_function_single that waits, its csd on the caller's stack."""
        csd = self.address(f"stack[{caller}][0]")
        self.queue_single(caller, target, csd, func=func, info=info)
        self.say(caller, "WAIT", csd)
        self.deliver(caller, target, SINGLE)
        self.accept(target, SINGLE)
        self.handle_single(target, csd, func=func, info=info)
        self.say(caller, "WOKEN", csd)
        return self.leave_call(caller)

    # Reading it.

    def outcome(self, ending=Ending.QUIET):
        return Outcome(self.clock + 1, ending, tuple(self.arena.get(address, 0) for address in range(self.config.arena_depth)))

    def tracked(self):
        """The tracker that has seen it all."""
        tracker = CallTracker.for_image(self.config, self.image)
        for record in self.records:
            tracker.add(record)
        return tracker

    def _next(self):
        self.clock += 1
        return self.clock

    def _commit(self, clock, core, op, address, new):
        self.records.append(CommitRecord(clock, 0, op, core, address, self.arena.get(address, 0), new))
        self.arena[address] = new
