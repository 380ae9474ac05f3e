"""The image: the result of assembling a protocol. Contents of memories, and the names to read a run by."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from amaranth.lib import data

from rtl.apic.registers import ApicRegister
from rtl.config import MachineConfig
from rtl.core.microword import CONDITIONAL_OPS, JUMP_OPS, MicroWord, Op
from rtl.events import Event
from sim.errors import InputError

from .roles import CALLS, Part

__all__ = ["Field", "Image", "Line", "ObjectType", "StoredObject"]


@dataclass(frozen=True)
class Field:
    """One word of a struct, flattened: ``path`` is "list.next" or "spare[2]", ``offset`` in words."""

    path: str
    offset: int
    #: Name of the struct that this word points to, or None.
    points_to: str | None = None


@dataclass(frozen=True)
class ObjectType:
    """A struct (or ``word``: one field with an empty path)."""

    name: str
    size: int
    fields: tuple[Field, ...]
    #: (path, struct, offset) of itself, if it is a struct, and of every struct in it.
    parts: tuple[tuple[str, str, int], ...] = ()


@dataclass(frozen=True)
class StoredObject:
    """One object in the arena: ``cfd_data[2]`` (percpu), ``call_function`` (global), ``pool[0]`` (element of an array).

    name : as displayed.  base : the declared name.  address : of its first word.
    cpu : of a percpu object, else None.  index : in an array, else None.
    """

    name: str
    base: str
    type: ObjectType
    address: int
    cpu: int | None = None
    index: int | None = None


@dataclass(frozen=True)
class Line:
    """Where a microword comes from. ``expansion`` is the chain of macro calls, outermost first, as (file, line)."""

    file: str
    line: int
    text: str
    expansion: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Image:
    """An assembled protocol.

    Parameters
    ----------
    path : the source.  title : its ``.title``.
    n_cores, xlen : what it was assembled for.
    words : raw microwords from address 0; PANIC follows them.
    symbols : label -> microcode address, without local labels.
    entries : names of the entry points (a subset of symbols).
    arena : address -> start value, for the words that do not start as 0.
    objects : everything declared in the arena, by address.
    constants : name -> value, including the predefined ones.
    structs : name -> type.
    warnings : microcode address of each word that emits WARN -> (name, sentence) of its ``.warn``.
    roles : role -> the Parts with that role.
    names : knock-out name -> microcode addresses of the words that carry it.
    lines : microcode address -> Line.
    percpu_base, percpu_shift : as PERCPU_BASE and PERCPU_SHIFT.
    heap : first arena address behind all objects.
    local_labels : (name, microcode address) of each local label that no macro made. An image that was read back has none.
    """

    path: Path
    title: str
    n_cores: int
    xlen: int
    words: tuple[int, ...]
    symbols: dict[str, int]
    entries: frozenset[str]
    arena: dict[int, int]
    objects: tuple[StoredObject, ...]
    constants: dict[str, int]
    structs: dict[str, ObjectType]
    warnings: dict[int, tuple[str, str]]
    roles: dict[str, tuple[Part, ...]]
    names: dict[str, tuple[int, ...]]
    lines: dict[int, Line]
    percpu_base: int
    percpu_shift: int
    heap: int
    local_labels: tuple[tuple[str, int], ...] = field(default=(), compare=False)
    #: address -> (label, offset), filled on first use
    _labels: dict[int, tuple[str | None, int]] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def events(self) -> dict[Event, set[int]]:
        """Event -> the microcode addresses of the words that emit it."""
        place = data.Layout.cast(MicroWord)["event"]
        said: dict[Event, set[int]] = {}
        for address, word in enumerate(self.words):
            number = word >> place.offset & (1 << place.width) - 1
            if number:
                said.setdefault(Event(number), set()).add(address)
        return said

    @cached_property
    def repeats(self) -> frozenset[int]:
        """The microcode addresses of the words that may jump to themselves."""
        words = enumerate(map(MicroWord.from_bits, self.words))
        return frozenset(address for address, word in words
                         if word.target == address and word.op in (*JUMP_OPS, *CONDITIONAL_OPS))

    def check_fits(self, config: MachineConfig) -> None:
        """Raises an InputError that names the limit if a machine of this MachineConfig cannot hold or run the image."""
        for what, needs, has in (
            ("cores (n_cores)", self.n_cores, config.n_cores),
            ("bits (xlen)", self.xlen, config.xlen),
        ):
            if needs != has:
                raise InputError(f"assembled for {needs} {what}, but the machine has {has}", file=self.path)
        for what, needs, has in (
            ("words of microcode (microcode_depth)", len(self.words), config.microcode_depth),
            ("words of arena (arena_depth)", self.heap, config.arena_depth),
        ):
            if needs > has:
                raise InputError(f"needs {needs} {what}, but the machine has {has}", file=self.path)
        self.check_registers(config)

    def check_registers(self, config: MachineConfig) -> None:
        """Raises an InputError that names an APIC register if the image accesses it and a machine of this MachineConfig lacks
        it."""
        if not config.register_reads and (pc := self._first(lambda word: word.op == Op.APICRDH or (
                word.op == Op.APICRD and word.imm != ApicRegister.ICR.value))) is not None:
            raise InputError(f"reads an APIC register other than the low half of ICR at {self.label(pc) or pc}, but this machine "
                             f"cannot (register_reads=0)", file=self.path)
        for register, name in (("TPR", "task_priority"), ("ESR", "error_status")):
            if not getattr(config, name) and (pc := self._access(getattr(ApicRegister, register))) is not None:
                raise InputError(f"accesses APIC_{register} at {self.label(pc) or pc}, but this machine has none "
                                 f"({name}=0)", file=self.path)

    def _access(self, register: ApicRegister) -> int | None:
        """The microcode address of the first word that accesses this APIC register, or None."""
        return self._first(lambda word: word.op in (Op.APICRD, Op.APICRDH, Op.APICWR) and word.imm == register.value)

    def _first(self, wanted: Callable[[Any], bool]) -> int | None:
        """The microcode address of the first such word, or None."""
        return next((pc for pc, word in enumerate(map(MicroWord.from_bits, self.words)) if wanted(word)), None)

    def label(self, pc: int) -> str | None:
        """The label at or before a microcode address, as shown: ``csd_lock`` or ``csd_lock+2``; None before the first."""
        if not self._labels:
            by_address: dict[int, str] = {}
            for symbol, address in self.symbols.items():
                by_address.setdefault(address, symbol)
            name: str | None = None
            base = 0
            for address in range(len(self.words)):
                if address in by_address:
                    name, base = by_address[address], address
                self._labels[address] = (name, address - base)
        name, offset = self._labels.get(pc, (None, 0))
        return name if not offset or name is None else f"{name}+{offset}"

    def routine(self, pc: int) -> str | None:
        """The label at or before a microcode address, without the offset; None before the first."""
        label = self.label(pc)
        return label and label.split("+")[0]

    def part(self, role):
        """The Part with a role that only one thing can have, or None."""
        return next(iter(self.roles.get(role, ())), None)

    def words_of(self, part):
        """The Fields of a struct that make up its field ``part``."""
        return [item for item in self.structs[part.name].fields if f"{item.path}.".startswith(f"{part.path}.")]

    def places(self, role):
        """(StoredObject, displayed name, address) of every word, or first word of a field, that has a role."""
        for part in self.roles.get(role, ()):
            for item in self.objects:
                if not part.path and item.base == part.name:
                    yield item, item.name, item.address
                for path, struct, offset in item.type.parts if part.path else ():
                    if struct == part.name:
                        inner = ".".join(filter(None, (path, part.path)))
                        yield item, f"{item.name}.{inner}", item.address + offset + self.words_of(part)[0].offset

    @cached_property
    def call_names(self):
        """Routine -> its name in scenarios."""
        calls = {role.removeprefix(CALLS): parts[0].name for role, parts in self.roles.items() if role.startswith(CALLS)}
        return {routine: name for name, routine in calls.items()}

    def object_at(self, address: int) -> tuple[StoredObject, Field] | None:
        """(object, field) whose word is at this arena address, or None."""
        for item in self.objects:
            if item.address <= address < item.address + item.type.size:
                for entry in item.type.fields:
                    if entry.offset == address - item.address:
                        return item, entry
        return None

    def name_of(self, address: int) -> str:
        """An arena address as displayed: ``csd_data[2].flags``, or its number in hexadecimal."""
        found = self.object_at(address)
        if found is None:
            return f"{address:#x}"
        item, entry = found
        return f"{item.name}.{entry.path}" if entry.path else item.name

    def address_of(self, name: str) -> int:
        """The arena address of ``object`` or ``object.field``, as shown by ``name_of``. KeyError if there is none."""
        for item in self.objects:
            if name == item.name:
                return item.address
            if name.startswith(item.name + "."):
                for entry in item.type.fields:
                    if entry.path == name[len(item.name) + 1:]:
                        return item.address + entry.offset
        raise KeyError(name)
