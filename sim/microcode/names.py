"""The names of a program: their meaning, the places of their objects in the arena, and the values of expressions."""

from collections import ChainMap
from dataclasses import dataclass, field
from typing import NamedTuple

from amaranth.lib import data
from amaranth.utils import ceil_log2

from rtl.apic.message import DeliveryMode
from rtl.apic.registers import ApicRegister
from rtl.config import MachineConfig
from rtl.core.microword import ENTRY_INTERRUPT, ENTRY_RESET, Fence, MicroWord
from rtl.events import Whom, contract_layout
from sim.spelling import closest
from sim.texts import count

from . import syntax
from .image import Field, ObjectType, StoredObject
from .roles import Kind, Part
from .syntax import Source, first_token

__all__ = ["APIC_REGISTERS", "FENCES", "PREDEFINED", "REGISTERS", "Bound", "Call", "Names", "Scope", "Symbol"]

#: Names from the hardware.
REGISTERS = {f"r{number}": number for number in range(1 << data.Layout.cast(MicroWord)["rd"].width)}
FENCES = {item.name: item.value for item in Fence}
APIC_REGISTERS = {f"APIC_{item.name}": item.value for item in ApicRegister}
#: All constants among them that are the same for every machine.
PREDEFINED = {
    "ENTRY_RESET": ENTRY_RESET,
    "ENTRY_INTERRUPT": ENTRY_INTERRUPT,
    **FENCES,
    **APIC_REGISTERS,
    **{f"MODE_{item.name}": item.value for item in DeliveryMode},
    # The contract of a call without wait: for one core, whose number is inserted at the shift, or for all others. And what it also
    # owes if its caller waits.
    "OWES_ONE": contract_layout.const({"known": 1, "whom": Whom.TARGET}).as_bits(),
    "OWES_OTHERS": contract_layout.const({"known": 1, "whom": Whom.OTHERS}).as_bits(),
    "OWES_WAIT": contract_layout.const({"wait": 1}).as_bits(),
    "OWES_TARGET_SHIFT": contract_layout["target"].offset,
}

_WORD = "word"
#: The largest arena; a larger object is a mistake, and is refused before its names are generated.
_MAX_ARENA = 1 << 20
#: Words of all structs together, and elements of all objects: each has a name.
_MAX_NAMED = 1 << 17
#: Parts of expressions evaluated for one program: arguments of macros that double would never end.
_MAX_STEPS = 1_000_000
#: The widest word, so the widest value.
_MAX_BITS = 64
_LONG_NUMBER = 100


class Call(NamedTuple):
    """One level of macro expansion: which macro, called from where."""

    macro: str
    source: Source
    line: int


@dataclass(frozen=True)
class Scope:
    """The context of a statement: what its names mean, and where to place its errors."""

    source: Source
    #: Names of registers; the innermost map takes this scope's ``.reg``.
    registers: ChainMap
    #: Local labels: name -> address.
    locals: dict = field(default_factory=dict)
    #: Macro parameters: name -> Bound.
    arguments: dict = field(default_factory=dict)
    expansion: tuple = ()
    #: Knock-out names of the surrounding macro calls.
    knock_outs: tuple = ()

    def error(self, message, token):
        return self.source.error(message, token, [
            f"in the expansion of {call.macro} at {call.source.path}:{call.line}" for call in reversed(self.expansion)
        ])

    def register(self, expression):
        """The number of the register that an expression is, or None."""
        if not isinstance(expression, syntax.Ref) or expression.path:
            return None
        name = str(expression.token)
        if name in self.arguments:
            bound = self.arguments[name]
            return bound.scope.register(bound.expression)
        return self.registers.get(name)


class Bound(NamedTuple):
    """An expression, with the scope in which its names have their meaning."""

    expression: object
    scope: Scope


@dataclass
class Symbol:
    """A name with a value. ``kind`` says what it is, with an article; ``value`` is a number, a Bound, or None while it is
    unknown."""

    kind: str
    value: object
    scope: Scope | None = None
    token: object = None
    evaluating: bool = False


class _Declared(NamedTuple):
    """A member of a struct, or an object, with the size of its array evaluated."""

    name: object
    #: Token of the struct's name; None for a word.
    type: object
    #: The word is a pointer to that type.
    pointer: bool
    #: None: not an array.
    count: int | None
    scope: Scope

    @property
    def is_word(self):
        return self.type is None or self.pointer

    @property
    def points_to(self):
        return str(self.type) if self.pointer and self.type is not None else None


@dataclass
class _Struct:
    name: object
    members: dict
    scope: Scope
    #: Member name -> offset, once known; and the sum.
    offsets: dict | None = None
    size: int = 0
    measuring: bool = False


class _Object(NamedTuple):
    declared: _Declared
    percpu: bool
    #: Bound start values, or None.
    start: tuple | None


class Names:
    """All names with a value, the structs, and the objects of the arena.

    While a program is being read, a name may be used only if it is known; once ``complete`` is set, all are.
    """

    def __init__(self, n_cores, xlen):
        self.n_cores = n_cores
        self.xlen = xlen
        self.complete = False
        self.steps = 0
        self.symbols = {
            name: Symbol("a predefined constant", value)
            for name, value in {"NR_CPUS": n_cores, "XLEN": xlen, **PREDEFINED}.items()
        }
        self.percpu_base = self.symbols["PERCPU_BASE"] = Symbol("a predefined constant", None)
        self.percpu_shift = self.symbols["PERCPU_SHIFT"] = Symbol("a predefined constant", None)
        self.structs = {}
        self.objects = {}
        self._declared = []

    # --- declarations -------------------------------------------------------------------------------------------------

    def define(self, name, symbol):
        """Give a name, a token, its meaning."""
        known = self.symbols.get(name)
        if known is not None:
            where = f", at {known.scope.source.path}:{known.token.line}" if known.scope else ""
            raise symbol.scope.error(f"{name} is {known.kind} already{where}", name)
        if name in REGISTERS:
            raise symbol.scope.error(f"{name} is a register", name)
        self.symbols[str(name)] = symbol

    def _declare(self, name, kind, scope):
        """A Type -> _Declared."""
        size = None
        if kind.size is not None:
            size = self.evaluate(kind.size.value, scope)
            if not 1 <= size <= _MAX_ARENA:
                raise scope.error(f"an array has from 1 to {_MAX_ARENA} elements, not {size}", first_token(kind.size.value))
        declared = _Declared(name, None if kind.name in (None, _WORD) else kind.name, kind.pointer is not None, size, scope)
        self._declared.append(declared)
        return declared

    def struct(self, statement, scope):
        """Declare a .struct."""
        name = statement.name
        if name == _WORD:
            raise scope.error("word is the type of a single word", name)
        if name in self.structs:
            known = self.structs[name]
            raise scope.error(f"{name} is a struct already, at {known.scope.source.path}:{known.name.line}", name)
        if not statement.members:
            raise scope.error(f"the struct {name} has no fields", name)
        members = {}
        for member in statement.members:
            if member.name in members:
                raise scope.error(f"{name} has a field {member.name} already", member.name)
            members[str(member.name)] = self._declare(member.name, member.type, scope)
        self.structs[str(name)] = _Struct(name, members, scope)

    def object(self, statement, scope, *, percpu, start=None):
        """Declare a .percpu or .global; ``start`` is a tuple of Bound start values."""
        declared = self._declare(statement.name, statement.type, scope)
        self.define(statement.name, Symbol("an object", None, scope, statement.name))
        self.objects[str(statement.name)] = _Object(declared, percpu, start)

    # --- expressions --------------------------------------------------------------------------------------------------

    def evaluate(self, expression, scope):
        """The value of an expression, which may be negative."""
        self.steps += 1
        if self.steps > _MAX_STEPS:
            raise scope.error("the expressions of this program are too large", first_token(expression))
        match expression:
            case syntax.Number(token):
                try:
                    value = int(token, {"0x": 16, "0b": 2}.get(token[:2].lower(), 10))
                except ValueError:
                    raise scope.error("this is not a number, or it has thousands of digits" if len(token) > _LONG_NUMBER else
                                      f"{token} is not a number", token) from None
                return self._bounded(value, scope, token)
            case syntax.Ref(token, ()):
                return self._name(token, scope)
            case syntax.Ref(token, path):
                return self._path(token, path, scope)
            case syntax.Local(token):
                if token in scope.locals:
                    return scope.locals[token]
                raise scope.error(f"unknown local label {token}{closest(token, scope.locals)}{self._hint()}", token)
            case syntax.Sizeof(_, name):
                return 1 if name == _WORD else self._layout(name, scope).size
            case syntax.Negate(_, value):
                return -self.evaluate(value, scope)
            case syntax.Binary(left, operator, right):
                value = self._binary(self.evaluate(left, scope), operator, self.evaluate(right, scope), scope)
                return self._bounded(value, scope, operator)

    @staticmethod
    def _bounded(value, scope, token):
        if abs(value) >> _MAX_BITS:
            raise scope.error(f"the value has more than {_MAX_BITS} bits", token)
        return value

    def _binary(self, left, operator, right, scope):
        match operator:
            case "+":
                return left + right
            case "-":
                return left - right
            case "*":
                return left * right
            case "|":
                return left | right
            case "&":
                return left & right
            case "<<":
                if not 0 <= right < _MAX_BITS:
                    raise scope.error(f"a shift must be from 0 to {_MAX_BITS - 1}, not {right}", operator)
                return left << right

    def _hint(self):
        return "" if self.complete else ": .if, .org and array sizes see only names defined above them"

    def _unknown(self, token, scope):
        known = [*self.symbols, *self.structs, *scope.arguments, *scope.registers]
        return scope.error(f"unknown name {token}{closest(token, known)}{self._hint()}", token)

    def _unknown_struct(self, token, scope):
        return scope.error(f"unknown struct {token}{closest(token, self.structs)}{self._hint()}", token)

    def _name(self, token, scope):
        """The value of a plain name."""
        if token in scope.arguments:
            bound = scope.arguments[token]
            return self.evaluate(*bound)
        if token in scope.registers:
            raise scope.error(f"{token} is a register, but a number is needed here", token)
        symbol = self.symbols.get(token)
        if symbol is None:
            if token in self.structs:
                raise scope.error(f"{token} is a struct: write {token}.FIELD or sizeof({token})", token)
            raise self._unknown(token, scope)
        return self._value(symbol, token, scope)

    def _value(self, symbol, token, scope):
        """The value of a symbol that ``token`` refers to."""
        if symbol.value is None:
            raise scope.error(f"{token} is not known yet: the arena is laid out at the end", token)
        if isinstance(symbol.value, Bound):
            if symbol.evaluating:
                raise scope.error(f"{token} is defined in terms of itself", token)
            symbol.evaluating = True
            symbol.value = self.evaluate(*symbol.value)
            symbol.evaluating = False
        return symbol.value

    def _path(self, token, path, scope):
        """The value of ``name.field``, ``name[index]`` and so on. An object hides a struct of the same name."""
        if token in self.objects:
            return self._name(token, scope) + self._offset(self.objects[token].declared, path, scope)
        if token in self.structs:
            return self._offset(_Declared(token, token, False, None, scope), path, scope)
        if token in self.symbols or token in scope.arguments or token in scope.registers:
            raise scope.error(f"{token} is neither a struct nor an object, and has no fields", token)
        raise self._unknown(token, scope)

    def _offset(self, declared, path, scope):
        """The offset of a path in an object, in words."""
        offset = 0
        shown = str(declared.name)
        for step in path:
            if isinstance(step, syntax.Index):
                token = first_token(step.value)
                if declared.count is None:
                    raise scope.error(f"{shown} is not an array", token)
                index = self.evaluate(step.value, scope)
                if not 0 <= index < declared.count:
                    raise scope.error(f"{shown} has the elements 0 to {declared.count - 1}, not {index}", token)
                offset += index * self._size(declared._replace(count=None))
                declared = declared._replace(count=None)
                shown += f"[{index}]"
                continue
            if declared.count is not None:
                raise scope.error(f"{shown} is an array: name an element, {shown}[0]{step}", step)
            if declared.is_word:
                raise scope.error(f"{shown} is a {'pointer' if declared.pointer else 'word'}, and has no fields", step)
            struct = self._layout(declared.type, declared.scope)
            name = step[1:]
            if name not in struct.members:
                raise scope.error(f"{struct.name} has no field {name}{closest(name, struct.members)}", step)
            offset += struct.offsets[name]
            declared = struct.members[name]
            shown += step
        return offset

    # --- the arena ----------------------------------------------------------------------------------------------------

    def _layout(self, name, scope):
        """The _Struct of a name, with its offsets."""
        struct = self.structs.get(name)
        if struct is None:
            raise self._unknown_struct(name, scope)
        if struct.offsets is None:
            if struct.measuring:
                raise scope.error(f"the struct {name} contains itself; a pointer would be `-> {name}`", name)
            struct.measuring = True
            offsets, size = {}, 0
            for member in struct.members.values():
                offsets[str(member.name)] = size
                size += self._size(member)
            if size > _MAX_ARENA:
                raise struct.scope.error(f"the struct {name} has {count(size, 'word')}, more than any arena", struct.name)
            struct.offsets, struct.size, struct.measuring = offsets, size, False
        return struct

    def _size(self, declared):
        """Words that a member or an object takes."""
        single = 1 if declared.is_word else self._layout(declared.type, declared.scope).size
        return single * (declared.count or 1)

    def _flatten(self, declared, path, offset):
        """The Fields of a member or an object, one per word."""
        if declared.count is not None:
            element = declared._replace(count=None)
            size = self._size(element)
            for index in range(declared.count):
                yield from self._flatten(element, f"{path}[{index}]", offset + index * size)
        elif declared.is_word:
            yield Field(path, offset, declared.points_to)
        else:
            struct = self._layout(declared.type, declared.scope)
            for name, member in struct.members.items():
                yield from self._flatten(member, f"{path}.{name}" if path else name, offset + struct.offsets[name])

    def _parts(self, declared, path, offset):
        """(path, struct, offset) of a member or an object and of all structs in it."""
        if declared.count is not None:
            element = declared._replace(count=None)
            size = self._size(element)
            for index in range(declared.count):
                yield from self._parts(element, f"{path}[{index}]", offset + index * size)
        elif not declared.is_word:
            struct = self._layout(declared.type, declared.scope)
            yield path, str(declared.type), offset
            for name, member in struct.members.items():
                yield from self._parts(member, f"{path}.{name}" if path else name, offset + struct.offsets[name])

    def part(self, kind, part, scope):
        """The Part, of a Kind, that a Ref without indices means."""
        token, path = part.token, "".join(part.path)[1:]
        if kind in (Kind.WORD, Kind.FIELD):
            struct = self.structs.get(token)
            if struct is None:
                raise self._unknown_struct(token, scope)
            if not path:
                raise scope.error(f"{token} is a struct: name a field, {token}.FIELD", token)
            member = _Declared(token, token, False, None, scope)
            self._offset(member, part.path, scope)
            if kind is Kind.WORD and path not in {field.path for field in self._flatten(member, "", 0)}:
                raise scope.error(f"{token}.{path} is more than one word", token)
            return Part(str(token), path)
        if path:
            raise scope.error(f"{kind.value} is expected here, not a field", part.path[0])
        if kind is Kind.STRUCT:
            if token not in self.structs:
                raise self._unknown_struct(token, scope)
            return Part(str(token))
        known = {Kind.CONSTANT: ("a constant", "a predefined constant"), Kind.ROUTINE: ("a label",)}.get(kind, ("an object",))
        symbol = self.symbols.get(token)
        if symbol is None:
            raise self._unknown(token, scope)
        if symbol.kind not in known:
            raise scope.error(f"{token} is {symbol.kind}, but {kind.value} is expected here", token)
        return Part(str(token), value=self._value(symbol, token, scope) if kind is Kind.CONSTANT else None)

    def place(self):
        """Give every object its address; return the first address behind them."""
        address = MachineConfig.NULL_WORDS
        block = 0
        for name, item in self.objects.items():
            size = self._size(item.declared)
            if address + block + size > _MAX_ARENA:
                raise item.declared.scope.error(f"with {name} the arena has more than {_MAX_ARENA} words", item.declared.name)
            self.symbols[name].value = block if item.percpu else address
            if item.percpu:
                block += size
            else:
                address += size
        shift = ceil_log2(block) if block else 0
        base = -(-address >> shift) << shift
        heap = base + (self.n_cores << shift if block else 0)
        if heap > _MAX_ARENA:
            raise item.declared.scope.error(
                f"with the objects of {count(self.n_cores, 'core')} the arena has more than {_MAX_ARENA} words", item.declared.name)
        self.percpu_base.value, self.percpu_shift.value = base, shift
        for name, item in self.objects.items():
            if item.percpu:
                self.symbols[name].value += base
        return heap

    def check(self):
        """Refuse references to an object or a field that does not exist."""
        for declared in self._declared:
            if declared.type is not None and declared.type not in self.structs:
                raise self._unknown_struct(declared.type, declared.scope)

    def types(self):
        """Every struct, in the form of the image."""
        types = {}
        words = 0
        for name, struct in self.structs.items():
            words += self._layout(struct.name, struct.scope).size
            if words > _MAX_NAMED:
                raise struct.scope.error(f"with {name} the structs have more than {_MAX_NAMED} words together", struct.name)
            whole = _Declared(struct.name, struct.name, False, None, struct.scope)
            types[name] = ObjectType(name, struct.size, tuple(self._flatten(whole, "", 0)), tuple(self._parts(whole, "", 0)))
        return types

    def stored(self, types):
        """All objects of all cores and all elements of arrays, by address."""
        stored = []
        for name, item in self.objects.items():
            declared = item.declared
            if declared.is_word:
                kind = ObjectType(_WORD, 1, (Field("", 0, declared.points_to),))
            else:
                kind = types[declared.type]
            if len(stored) + (declared.count or 1) * (self.n_cores if item.percpu else 1) > _MAX_NAMED:
                raise declared.scope.error(f"with {name} the arena has more than {_MAX_NAMED} objects", declared.name)
            for cpu in range(self.n_cores) if item.percpu else (None,):
                base = self.symbols[name].value + ((cpu or 0) << self.percpu_shift.value)
                shown = name if cpu is None else f"{name}[{cpu}]"
                if declared.count is None:
                    stored.append(StoredObject(shown, name, kind, base, cpu))
                else:
                    stored += [StoredObject(f"{shown}[{index}]", name, kind, base + index * kind.size, cpu, index)
                               for index in range(declared.count)]
        return tuple(sorted(stored, key=lambda item: item.address))

    def constants(self):
        """The values of all names that are not places."""
        return {
            name: self._value(symbol, symbol.token, symbol.scope)
            for name, symbol in self.symbols.items() if symbol.kind not in ("a label", "an object")
        }

    def start_values(self):
        """The initial arena: address -> value."""
        arena = {}
        for name, item in self.objects.items():
            size = self._size(item.declared)
            if item.start and len(item.start) > size:
                bound = item.start[size]
                raise bound.scope.error(f"{name} has {count(size, 'word')}, and this is one value too many",
                                        first_token(bound.expression))
            for offset, bound in enumerate(item.start or ()):
                value = self.evaluate(*bound)
                low, high = -(1 << self.xlen - 1), (1 << self.xlen) - 1
                if not low <= value <= high:
                    raise bound.scope.error(f"{value} does not fit: a word of {self.xlen} bits is from {low} to {high}",
                                            first_token(bound.expression))
                if value:
                    arena[self.symbols[name].value + offset] = value & high
        return arena
