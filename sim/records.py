"""Raw records -> typed records, one class per kind of source. The layouts are those of ``rtl/events.py``."""

from typing import NamedTuple

from rtl.apic.message import BROADCAST, Shorthand
from rtl.events import (
    ApicEvent,
    Event,
    absorb,
    apic_record_layout,
    commit_record_layout,
    core_record_layout,
    digest_words,
    fold,
    message_record_layout,
)
from rtl.memory.port import MemoryOp

__all__ = ["MESSAGE", "ApicRecord", "CommitRecord", "CoreRecord", "Digest", "MessageRecord", "Record", "Sources"]


class CoreRecord(NamedTuple):
    """A microword has completed. ``op`` is None unless it was a memory operation (then address and result are valid). ``enabled`` :
    interrupts were on."""

    clock: int
    core: int
    event: Event
    pc: int
    a: int
    b: int
    op: MemoryOp | None
    address: int
    result: int
    enabled: bool = False


class ApicRecord(NamedTuple):
    """A core's local APIC sent, handed out or ended an interrupt. All fields but the vector describe a message that was sent or
    refused, in the layout of ``rtl.apic.message``."""

    clock: int
    core: int
    event: ApicEvent
    vector: int
    destination: int = 0
    mode: int = 0
    logical: int = 0
    level: int = 0
    trigger: int = 0
    shorthand: int = 0

    def named(self, n_cores):
        """The cores that the message names, in ascending order: the plain form of ``rtl.apic.fabric.receivers``."""
        match Shorthand(self.shorthand):
            case Shorthand.SELF:
                return [self.core]
            case Shorthand.ALL:
                return list(range(n_cores))
            case Shorthand.OTHERS:
                return [core for core in range(n_cores) if core != self.core]
        if self.logical:
            cluster, members = divmod(self.destination, 1 << 16)
            return [core for core in range(n_cores) if core >> 4 == cluster and members >> (core & 15) & 1]
        if self.destination == BROADCAST:
            return list(range(n_cores))
        return [self.destination] if self.destination < n_cores else []


class MessageRecord(NamedTuple):
    """A message of ``source`` was delivered to ``target``; or, if that is None, it has ended without reaching a core. A message
    that names several cores has a record for each delivery."""

    clock: int
    source: int
    target: int | None
    vector: int
    destination: int = 0
    mode: int = 0
    logical: int = 0
    level: int = 0
    trigger: int = 0
    shorthand: int = 0


class CommitRecord(NamedTuple):
    """An operation became visible. It changed the word if ``old != new``."""

    clock: int
    bank: int
    op: MemoryOp
    core: int
    address: int
    old: int
    new: int


#: The result of ``Sources.decode``.
Record = CoreRecord | ApicRecord | MessageRecord | CommitRecord

_EVENTS = {event.value: event for event in Event}
_APIC_EVENTS = {event.value: event for event in ApicEvent}
_OPS = {op.value: op for op in MemoryOp}
#: The message fields of records, in order.
MESSAGE = ("vector", "destination", "mode", "logical", "level", "trigger", "shorthand")


def _message_of(record):
    return {name: getattr(record, name) for name in MESSAGE}


def _extractors(layout):
    """(shift, mask) of each field of a layout, by name."""
    return {name: (item.offset, (1 << item.width) - 1) for name, item in layout}


class Sources:
    """All sources of a machine in the order of the digest; index <-> (kind, number), and the decoding of raw records.

    ``kinds[index]`` is "core", "apic", "message" or "bank"; ``numbers[index]`` counts within the kind.
    """

    def __init__(self, config):
        self.config = config
        self.layouts = {
            "core": core_record_layout(config),
            "apic": apic_record_layout(config),
            "message": message_record_layout(config),
            "bank": commit_record_layout(config),
        }
        counts = {"core": config.n_cores, "apic": config.n_cores, "message": config.n_cores, "bank": config.n_banks}
        self.kinds = [kind for kind, count in counts.items() for _ in range(count)]
        self.numbers = [number for count in counts.values() for number in range(count)]
        self.base = {}
        index = 0
        for kind, count in counts.items():
            self.base[kind] = index
            index += count
        self._fields = {kind: _extractors(layout) for kind, layout in self.layouts.items()}
        self._decoders = [
            {"core": self._core, "apic": self._apic, "message": self._message, "bank": self._commit}[kind]
            for kind in self.kinds
        ]

    def __len__(self):
        return len(self.kinds)

    def decode(self, clock: int, index: int, raw: int) -> Record:
        """The typed record of the source with this index."""
        return self._decoders[index](clock, self.numbers[index], raw)

    def encode(self, record):
        """(source index, raw) of a typed record: the inverse of ``decode``."""
        if isinstance(record, CoreRecord):
            kind, number = "core", record.core
            values = {"event": record.event.value, "enabled": int(record.enabled), "pc": record.pc, "a": record.a, "b": record.b,
                      "memory": int(record.op is not None), "op": record.op.value if record.op is not None else 0,
                      "address": record.address, "result": record.result}
        elif isinstance(record, ApicRecord):
            kind, number = "apic", record.core
            values = {"event": record.event.value, **_message_of(record)}
        elif isinstance(record, MessageRecord):
            kind, number = "message", record.source if record.target is None else record.target
            values = {"accepted": int(record.target is not None), "source": record.source, **_message_of(record)}
        else:
            kind, number = "bank", record.bank
            values = {"op": record.op.value, "core": record.core, "address": record.address, "old": record.old,
                      "new": record.new}
        raw = 1
        for name, value in values.items():
            shift, mask = self._fields[kind][name]
            assert value & ~mask == 0, f"{name} = {value:#x} does not fit its field"
            raw |= value << shift
        return self.base[kind] + number, raw

    def _core(self, clock, number, raw):
        get = self._fields["core"]

        def value(name):
            shift, mask = get[name]
            return raw >> shift & mask

        return CoreRecord(clock, number, _EVENTS[value("event")], value("pc"), value("a"), value("b"),
                          _OPS[value("op")] if value("memory") else None, value("address"), value("result"), bool(value("enabled")))

    def _apic(self, clock, number, raw):
        get = self._fields["apic"]
        shift, mask = get["event"]
        return ApicRecord(clock, number, _APIC_EVENTS[raw >> shift & mask], *self._message_in(get, raw))

    def _message(self, clock, number, raw):
        get = self._fields["message"]
        (accepted, one), (source, mask) = get["accepted"], get["source"]
        target = number if raw >> accepted & one else None
        return MessageRecord(clock, raw >> source & mask, target, *self._message_in(get, raw))

    @staticmethod
    def _message_in(get, raw):
        return [raw >> shift & mask for shift, mask in (get[name] for name in MESSAGE)]

    def _commit(self, clock, number, raw):
        get = self._fields["bank"]

        def value(name):
            shift, mask = get[name]
            return raw >> shift & mask

        return CommitRecord(clock, number, _OPS[value("op")], value("core"), value("address"), value("old"), value("new"))


class Digest:
    """The digest of a run, as ``rtl/events.py`` defines it. Feed every raw record in the order of clocks."""

    def __init__(self, sources):
        self._states = [0] * len(sources)
        self._words = [digest_words(sources.layouts[kind]) for kind in sources.kinds]

    def add(self, clock, index, raw):
        self._states[index] = absorb(self._states[index], clock, raw, self._words[index])

    def value(self):
        return fold(self._states)
