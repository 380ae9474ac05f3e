"""Assembles a protocol: ``.uasm`` text -> Image. The language is described in ``docs/microcode.md``.

Two passes. The first goes through the statements in order: it opens files, expands macros, takes decisions, gives every word
its address and every name its place. The second evaluates what may refer to something later: constants, start values,
immediates, branch targets.
"""

from collections import ChainMap
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from amaranth.lib import data
from amaranth.utils import ceil_log2

from rtl.apic.message import DeliveryMode
from rtl.apic.registers import ApicRegister
from rtl.config import MachineConfig
from rtl.core.microword import (
    ENTRY_INTERRUPT,
    ENTRY_RESET,
    IMMEDIATE_BITS,
    OPERATIONS,
    TARGET_BITS,
    Fence,
    MicroWord,
    Op,
)
from rtl.events import Event
from sim.errors import InputError

from . import syntax
from .image import Field, Image, Line, ObjectType, StoredObject
from .syntax import Source, first_token, suggestion

__all__ = ["EVENTS", "MNEMONICS", "OPERANDS", "REGISTERS", "SOURCES", "assemble"]

#: The shipped sources, where an ``.include`` looks second.
SOURCES = Path(__file__).parent / "sources"

#: Operation by the name that a program writes.
MNEMONICS = {op.name.lower(): op for op in OPERATIONS}
EVENTS = {name: event for name, event in Event.__members__.items() if event is not Event.NONE}
REGISTERS = {f"r{number}": number for number in range(1 << data.Layout.cast(MicroWord)["rd"].width)}

#: How each kind of operand is shown.
OPERANDS = {"d": "rd", "a": "ra", "r": "rb", "b": "b", "m": "[ra + imm]", "t": "t", "i": "i", "c": "rd"}

_WORD = "word"
_MAX_WORDS = 1 << TARGET_BITS
_MAX_IMMEDIATE = (1 << IMMEDIATE_BITS) - 1
#: No machine has more arena; a larger object is a slip, and is refused before its names are made up.
_MAX_ARENA = 1 << 20
#: Loosely: more than any word has bits.
_MAX_SHIFT = 64


def _predefined():
    """Constants that hardware gives."""
    return {
        "ENTRY_RESET": ENTRY_RESET,
        "ENTRY_INTERRUPT": ENTRY_INTERRUPT,
        **{item.name: item.value for item in Fence},
        **{f"APIC_{item.name}": item.value for item in ApicRegister},
        **{f"MODE_{item.name}": item.value for item in DeliveryMode},
    }


class _Call(NamedTuple):
    """One level of macro expansion: which macro, called from where."""

    macro: str
    source: Source
    line: int


@dataclass(frozen=True)
class _Scope:
    """Where a statement stands: what its names mean, and how an error about it is placed."""

    source: Source
    #: Names of registers; the innermost map takes this scope's ``.reg``.
    registers: ChainMap
    #: Local labels: name -> address.
    locals: dict = field(default_factory=dict)
    #: Macro parameters: name -> _Bound.
    arguments: dict = field(default_factory=dict)
    expansion: tuple = ()
    #: Knock-out names of the macro calls around.
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


class _Bound(NamedTuple):
    """An expression, with the scope in which its names have their meaning."""

    expression: object
    scope: _Scope

@dataclass
class _Symbol:
    """A name that has a value. ``value`` is a number, a _Bound, or None as long as nothing is known."""

    kind: str
    value: object
    scope: _Scope | None = None
    token: object = None
    evaluating: bool = False


class _Declared(NamedTuple):
    """A member of a struct, or an object, with the size of its array evaluated."""

    name: object
    #: Token of the struct's name; None for a word.
    type: object
    #: The word is a pointer to that type.
    pointer: bool
    #: None if it is no array.
    count: int | None
    scope: _Scope

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
    scope: _Scope
    #: Member name -> offset, once known; and the sum.
    offsets: dict | None = None
    size: int = 0
    measuring: bool = False


class _Object(NamedTuple):
    declared: _Declared
    percpu: bool
    #: _Bound start values, or None.
    start: tuple | None


class _Sum(NamedTuple):
    """A value for later: (sign, _Bound) of each term."""

    terms: tuple


class _Word(NamedTuple):
    """A microword of the first pass. Fields are numbers, or _Sum where an expression gives them."""

    token: object
    op: Op
    fields: dict
    event: object
    event_fields: dict
    scope: _Scope


class _Assembler:
    def __init__(self, n_cores, xlen, defines):
        self.n_cores = n_cores
        self.xlen = xlen
        self.defines = dict(defines)
        self.main = None
        self.title = None
        #: The first pass is over: every name is known.
        self.complete = False
        #: Resolved paths of all files read, and of those that are being read.
        self.included = set()
        self.reading = []
        self.registers = ChainMap(dict(REGISTERS))
        self.aliases = []
        self.symbols = {
            name: _Symbol("predefined constant", value)
            for name, value in {"NR_CPUS": n_cores, "XLEN": xlen, **_predefined()}.items()
        }
        self.percpu_base = self.symbols["PERCPU_BASE"] = _Symbol("predefined constant", None)
        self.percpu_shift = self.symbols["PERCPU_SHIFT"] = _Symbol("predefined constant", None)
        self.declared = []
        self.structs = {}
        self.macros = {}
        self.objects = {}
        self.warnings = {}
        self.entries = {}
        self.names = {}
        self.words = {}
        self.address = 0
        #: How the first pass takes each statement; gives the scope of the next one, or None for the same.
        self.takers = {
            syntax.Include: self._include, syntax.Title: self._title, syntax.Constant: self._constant,
            syntax.Reg: self._reg, syntax.Struct: self._struct, syntax.Percpu: self._percpu, syntax.Shared: self._global,
            syntax.Warn: self._warn, syntax.Macro: self._macro, syntax.Conditional: self._conditional,
            syntax.Entry: self._entry, syntax.Org: self._org, syntax.Label: self._label,
            syntax.LocalLabel: self._local_label, syntax.Instruction: self._instruction,
        }

    # --- first pass: files and names ----------------------------------------------------------------------------------

    def read(self, path, name):
        """Takes all statements of a file. Raises OSError or UnicodeDecodeError if it is not readable text."""
        source = Source(path, name, path.read_text(encoding="utf-8"))
        self.main = self.main or source
        self.included.add(path.resolve())
        self.reading.append(path.resolve())
        self._take(syntax.parse(source), _Scope(source, self.registers))
        self.reading.pop()

    def _take(self, statements, scope):
        """Takes statements in order; gives the scope in which the next one would stand."""
        for statement in statements:
            scope = self.takers[type(statement)](statement, scope) or scope
        return scope

    def _define(self, name, symbol):
        known = self.symbols.get(name)
        if known is not None:
            where = f", at {known.scope.source.path}:{known.token.line}" if known.scope else ""
            raise symbol.scope.error(f"{name} is a {known.kind} already{where}", name)
        if name in REGISTERS:
            raise symbol.scope.error(f"{name} is a register", name)
        self.symbols[str(name)] = symbol

    def _include(self, statement, scope):
        text = statement.file[1:-1]
        folders = (scope.source.path.parent, Path(scope.source.name).parent), (SOURCES, Path())
        found = [(folder / text, (shown / text).as_posix()) for folder, shown in folders if (folder / text).is_file()]
        if not found:
            raise scope.error(f'there is no file "{text}", neither beside this one nor among the shipped sources', statement.file)
        path, name = found[0]
        if path.resolve() in self.reading:
            raise scope.error(f'"{text}" includes itself', statement.file)
        if path.resolve() not in self.included:
            try:
                self.read(path, name)
            except (OSError, UnicodeDecodeError) as error:
                raise scope.error(f'"{text}" cannot be read: {_reason(error)}', statement.file) from None

    def _title(self, statement, scope):
        # The protocol's own title counts, not that of the protocol it is built on.
        if scope.source is self.main:
            if self.title is not None:
                raise scope.error("a second .title", statement.text)
            self.title = statement.text[1:-1]

    def _constant(self, statement, scope):
        name, value = statement.name, _Bound(statement.value, scope)
        if statement.default:
            if name in self.defines:
                value = self.defines.pop(name)
            elif name in self.symbols and self.symbols[name].kind == "constant":
                return
        self._define(name, _Symbol("constant", value, scope, name))

    def _reg(self, statement, scope):
        number = scope.register(syntax.Ref(statement.register))
        if number is None:
            raise self._unknown_register(statement.register, scope)
        name = statement.name
        if scope.registers.get(name, number) != number:
            raise scope.error(f"{name} is r{scope.registers[name]} already", name)
        scope.registers[str(name)] = number
        self.aliases.append((name, scope))

    def _warn(self, statement, scope):
        number = len(self.warnings) + 1
        self._define(statement.name, _Symbol("warning", number, scope, statement.name))
        self.warnings[number] = (str(statement.name), statement.text[1:-1])

    def _macro(self, statement, scope):
        name = statement.name
        if name in MNEMONICS:
            raise scope.error(f"{name} is an operation", name)
        if name in self.macros:
            known, where = self.macros[name]
            raise scope.error(f"{name} is a macro already, at {where.source.path}:{known.name.line}", name)
        for index, parameter in enumerate(statement.parameters):
            if parameter in statement.parameters[:index]:
                raise scope.error(f"{name} has two parameters {parameter}", parameter)
        self.macros[str(name)] = statement, scope

    def _conditional(self, statement, scope):
        condition = statement.condition
        left = self.evaluate(condition.left, scope)
        right = self.evaluate(condition.right, scope) if condition.compare else 0
        compare = condition.compare or "!="
        holds = {"==": left == right, "!=": left != right, "<": left < right, "<=": left <= right,
                 ">": left > right, ">=": left >= right}[compare]
        return self._take(statement.body if holds else statement.otherwise, scope)

    # --- first pass: the arena ----------------------------------------------------------------------------------------

    def _declare(self, name, kind, scope):
        """A Type -> _Declared."""
        size = None
        if kind.size is not None:
            size = self.evaluate(kind.size.value, scope)
            if not 1 <= size <= _MAX_ARENA:
                raise scope.error(f"an array has from 1 to {_MAX_ARENA} elements, not {size}", first_token(kind.size.value))
        declared = _Declared(name, None if kind.name in (None, _WORD) else kind.name, kind.pointer is not None, size, scope)
        self.declared.append(declared)
        return declared

    def _struct(self, statement, scope):
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

    def _object(self, statement, scope, start, percpu):
        declared = self._declare(statement.name, statement.type, scope)
        self._define(statement.name, _Symbol("object", None, scope, statement.name))
        self.objects[str(statement.name)] = _Object(declared, percpu, start)

    def _percpu(self, statement, scope):
        self._object(statement, scope, None, percpu=True)

    def _global(self, statement, scope):
        start = statement.start and tuple(_Bound(value, scope) for value in statement.start)
        self._object(statement, scope, start, percpu=False)

    # --- first pass: the program --------------------------------------------------------------------------------------

    def _label(self, statement, scope):
        self._define(statement.name, _Symbol("label", self.address, scope, statement.name))
        return replace(scope, registers=self.registers.new_child(), locals={})

    def _entry(self, statement, scope):
        after = self._label(statement, scope)
        self.entries[str(statement.name)] = statement.name, scope
        return after

    def _local_label(self, statement, scope):
        name = statement.name
        if name in scope.locals:
            raise scope.error(f"{name} is a label already here", name)
        scope.locals[str(name)] = self.address

    def _org(self, statement, scope):
        address = self.evaluate(statement.address, scope)
        if not self.address <= address < _MAX_WORDS:
            raise scope.error(f".org goes forward only: it must be from {self.address} to {_MAX_WORDS - 1}, not {address}",
                              first_token(statement.address))
        self.address = address

    def _instruction(self, statement, scope):
        name = statement.name
        if name in self.macros:
            self._expand(statement, scope)
            return
        if name not in MNEMONICS:
            raise scope.error(f"unknown operation {name}{suggestion(name, [*MNEMONICS, *self.macros])}", name)
        op = MNEMONICS[name]
        fields = self._operands(op, statement, scope)
        if len(statement.events) > 1:
            raise scope.error("a word says one event", statement.events[1].token)
        event = statement.events[0] if statement.events else None
        event_fields = self._event_operands(event, scope) if event else {}
        if self.address == _MAX_WORDS:
            raise scope.error(f"the program has more than {_MAX_WORDS} words", name)
        self.words[self.address] = _Word(name, op, fields, event, event_fields, scope)
        for knock_out in (*scope.knock_outs, *(token[1:] for token in statement.knock_outs)):
            # A dict, because it keeps the order and takes an address once.
            self.names.setdefault(knock_out, {})[self.address] = None
        self.address += 1

    def _expand(self, call, scope):
        macro, home = self.macros[call.name]
        parameters = macro.parameters
        if call.name in [level.macro for level in scope.expansion]:
            raise scope.error(f"{call.name} calls itself", call.name)
        if call.events:
            raise scope.error("an event belongs to a word, not to the call of a macro", call.events[0].token)
        if len(call.operands) != len(parameters):
            raise scope.error(f"{call.name} takes {_count(len(parameters), 'argument', ', '.join(parameters))}, "
                              f"not {len(call.operands)}", call.name)
        for operand in call.operands:
            if isinstance(operand, syntax.Memory):
                raise scope.error("the argument of a macro is a register or an expression, not a memory operand",
                                  first_token(operand))
        self._take(macro.body, _Scope(
            home.source, scope.registers.new_child(), {},
            {str(parameter): _Bound(operand, scope) for parameter, operand in zip(parameters, call.operands, strict=True)},
            (*scope.expansion, _Call(str(call.name), scope.source, call.name.line)),
            (*scope.knock_outs, *(token[1:] for token in call.knock_outs)),
        ))

    def _operands(self, op, statement, scope):
        """The fields that the operands of an operation fill."""
        kinds, operands = OPERATIONS[op].operands, statement.operands
        if len(operands) != len(kinds):
            usage = ", ".join(OPERANDS[kind] for kind in kinds)
            raise scope.error(f"{statement.name} takes {_count(len(kinds), 'operand', usage)}, not {len(operands)}",
                              statement.name)
        fields = {}
        for kind, operand in zip(kinds, operands, strict=True):
            if kind == "m":
                fields.update(self._memory(operand, scope))
            elif kind in "dc":
                fields["rd"] = self._register(operand, scope)
            elif kind == "a":
                fields["ra"] = self._register(operand, scope)
            elif kind == "r":
                fields["rb"] = self._register(operand, scope)
            elif kind == "b":
                fields.update(self._operand_b(operand, scope))
            elif kind == "i":
                fields["imm"] = self._expression(operand, scope)
            elif kind == "t":
                fields["target"] = self._expression(operand, scope)
        if "r" in kinds:
            # The operation reads rb, so an event must not ask for the immediate in its place.
            fields.setdefault("use_imm", 0)
        return fields

    def _event_operands(self, event, scope):
        """The fields that the operands of an event ask for."""
        if event.token[1:] not in EVENTS:
            raise scope.error(f"unknown event {event.token[1:]}{suggestion(event.token[1:], EVENTS)}", event.token)
        fields = {}
        if event.a is not None:
            fields["ra"] = self._register(event.a, scope)
        if event.b is not None:
            fields.update(self._operand_b(event.b, scope))
        return fields

    def _register(self, operand, scope):
        number = scope.register(operand)
        if number is not None:
            return number
        while isinstance(operand, syntax.Ref) and not operand.path and operand.token in scope.arguments:
            operand, scope = scope.arguments[operand.token]
        if isinstance(operand, syntax.Ref) and not operand.path and operand.token not in self.symbols:
            raise self._unknown_register(operand.token, scope)
        raise scope.error("expected a register" + (", not a memory operand" if isinstance(operand, syntax.Memory) else ""),
                          first_token(operand))

    def _unknown_register(self, token, scope):
        return scope.error(f"unknown register {token}{suggestion(token, scope.registers)}", token)

    def _expression(self, operand, scope):
        if isinstance(operand, syntax.Memory):
            raise scope.error("expected an expression, not a memory operand", first_token(operand))
        return _Sum(((1, _Bound(operand, scope)),))

    def _operand_b(self, operand, scope):
        number = scope.register(operand)
        if number is not None:
            return {"use_imm": 0, "rb": number}
        return {"use_imm": 1, "imm": self._expression(operand, scope)}

    def _memory(self, operand, scope):
        if not isinstance(operand, syntax.Memory):
            raise scope.error("expected a memory operand: [...]", first_token(operand))
        bases, offset = [], []
        for sign, term in _terms(operand.address, scope):
            number = term.scope.register(term.expression)
            if number is None:
                offset.append((sign, term))
            elif sign < 0 or bases:
                raise scope.error("an address has one register, which is added to", first_token(operand))
            else:
                bases.append(number)
        fields = {"imm": _Sum(tuple(offset))}
        return {"use_imm": 0, "ra": bases[0], **fields} if bases else {"use_imm": 1, **fields}

    # --- second pass: expressions -------------------------------------------------------------------------------------

    def evaluate(self, expression, scope):
        """The number that an expression stands for, negative ones included."""
        match expression:
            case syntax.Number(token):
                try:
                    return int(token, {"0x": 16, "0b": 2}.get(token[:2].lower(), 10))
                except ValueError:
                    raise scope.error(f"{token} is not a number", token) from None
            case syntax.Ref(token, ()):
                return self._name(token, scope)
            case syntax.Ref(token, path):
                return self._path(token, path, scope)
            case syntax.Local(token):
                if token in scope.locals:
                    return scope.locals[token]
                raise scope.error(f"unknown local label {token}{suggestion(token, scope.locals)}{self._hint()}", token)
            case syntax.Sizeof(_, name):
                return 1 if name == _WORD else self._layout(name, scope).size
            case syntax.Negate(_, value):
                return -self.evaluate(value, scope)
            case syntax.Binary(left, operator, right):
                return self._binary(self.evaluate(left, scope), operator, self.evaluate(right, scope), scope)

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
                if not 0 <= right <= _MAX_SHIFT:
                    raise scope.error(f"a shift must be from 0 to {_MAX_SHIFT}, not {right}", operator)
                return left << right

    def _hint(self):
        return "" if self.complete else ": .if, .org and array sizes see only what stands above them"

    def _unknown(self, token, scope):
        known = [*self.symbols, *self.structs, *scope.arguments, *scope.registers]
        return scope.error(f"unknown name {token}{suggestion(token, known)}{self._hint()}", token)

    def _unknown_struct(self, token, scope):
        return scope.error(f"unknown struct {token}{suggestion(token, self.structs)}{self._hint()}", token)

    def _name(self, token, scope):
        """The value of a plain name."""
        if token in scope.arguments:
            bound = scope.arguments[token]
            return self.evaluate(*bound)
        if token in scope.registers:
            raise scope.error(f"{token} is a register, and has no value to assemble", token)
        symbol = self.symbols.get(token)
        if symbol is None:
            if token in self.structs:
                raise scope.error(f"{token} is a struct: write {token}.FIELD or sizeof({token})", token)
            raise self._unknown(token, scope)
        return self._value(symbol, token, scope)

    def _value(self, symbol, token, scope):
        """The value of a symbol that ``token`` refers to."""
        if symbol.value is None:
            raise scope.error(f"the arena is laid out at the end: {token} is not known yet", token)
        if isinstance(symbol.value, _Bound):
            if symbol.evaluating:
                raise scope.error(f"{token} is defined by itself", token)
            symbol.evaluating = True
            symbol.value = self.evaluate(*symbol.value)
            symbol.evaluating = False
        return symbol.value

    def _path(self, token, path, scope):
        """The value of ``name.field``, ``name[index]`` and so on. An object hides a struct that is called the same."""
        if token in self.objects:
            return self._name(token, scope) + self._offset(self.objects[token].declared, path, scope)
        if token in self.structs:
            return self._offset(_Declared(token, token, False, None, scope), path, scope)
        if token in self.symbols or token in scope.arguments or token in scope.registers:
            raise scope.error(f"{token} is neither a struct nor an object, and has no fields", token)
        raise self._unknown(token, scope)

    def _offset(self, declared, path, scope):
        """Where in an object a path leads, in words."""
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
                raise scope.error(f"{struct.name} has no field {name}{suggestion(name, struct.members)}", step)
            offset += struct.offsets[name]
            declared = struct.members[name]
            shown += step
        return offset

    # --- second pass: the arena ---------------------------------------------------------------------------------------

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
                raise struct.scope.error(f"the struct {name} has {size} words, more than any arena", struct.name)
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

    def _place(self):
        """Gives every object its address, and makes the names that the run shows."""
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
            raise InputError(f"the objects of {self.n_cores} cores take more than {_MAX_ARENA} words", file=self.main.path)
        self.percpu_base.value, self.percpu_shift.value = base, shift
        for name, item in self.objects.items():
            if item.percpu:
                self.symbols[name].value += base
        return heap

    def _types(self):
        types = {}
        for name, struct in self.structs.items():
            self._layout(struct.name, struct.scope)
            whole = _Declared(struct.name, struct.name, False, None, struct.scope)
            types[name] = ObjectType(name, struct.size, tuple(self._flatten(whole, "", 0)))
        return types

    def _stored(self, types):
        """All objects of all cores and all elements of arrays, by address."""
        stored = []
        for name, item in self.objects.items():
            declared = item.declared
            if declared.is_word:
                kind = ObjectType(_WORD, 1, (Field("", 0, declared.points_to),))
            else:
                kind = types[declared.type]
            for cpu in range(self.n_cores) if item.percpu else (None,):
                base = self.symbols[name].value + ((cpu or 0) << self.percpu_shift.value)
                shown = name if cpu is None else f"{name}[{cpu}]"
                if declared.count is None:
                    stored.append(StoredObject(shown, name, kind, base, cpu))
                else:
                    stored += [StoredObject(f"{shown}[{index}]", name, kind, base + index * kind.size, cpu, index)
                               for index in range(declared.count)]
        return tuple(sorted(stored, key=lambda item: item.address))

    def _start_values(self):
        arena = {}
        for name, item in self.objects.items():
            size = self._size(item.declared)
            if item.start and len(item.start) > size:
                bound = item.start[size]
                raise bound.scope.error(f"{name} has {_count(size, 'word')}, and this is one value too many",
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

    # --- second pass: the words ---------------------------------------------------------------------------------------

    def _fit(self, name, value, word):
        """The value of a field; what an expression gives is checked against the field."""
        if isinstance(value, int):
            return value
        number = sum(sign * self.evaluate(*bound) for sign, bound in value.terms)
        if name == "target":
            if not 0 <= number < _MAX_WORDS:
                raise self._misfit(value, word, f"the target {number} does not fit: it must be from 0 to {_MAX_WORDS - 1}")
            return number
        if self.xlen == IMMEDIATE_BITS and -(1 << IMMEDIATE_BITS - 1) <= number < 0:
            return number & _MAX_IMMEDIATE
        if not 0 <= number <= _MAX_IMMEDIATE:
            low = -(1 << IMMEDIATE_BITS - 1) if self.xlen == IMMEDIATE_BITS else 0
            hint = f" (it is not sign-extended to {self.xlen} bits: use `sub`)" if number < 0 and low == 0 else ""
            raise self._misfit(value, word, f"the immediate {number} does not fit: it must be from {low} to {_MAX_IMMEDIATE}{hint}")
        return number

    @staticmethod
    def _misfit(value, word, message):
        _, bound = value.terms[0]
        # The expression may be the argument of a macro: the notes must name the expansion that has no use for it.
        return replace(bound.scope, expansion=word.scope.expansion).error(message, first_token(bound.expression))

    def _bits(self, address, word, entries):
        """The raw microword."""
        fields = {name: self._fit(name, value, word) for name, value in word.fields.items()}
        immediate = fields.get("imm")
        if word.op is Op.FENCE and immediate not in [item.value for item in Fence]:
            raise self._misfit(word.fields["imm"], word, f"fence takes FULL, WRITE or READ, not {immediate}")
        for name, value in word.event_fields.items():
            value = self._fit(name, value, word)
            if fields.setdefault(name, value) != value:
                raise word.scope.error(f"{word.event.token} cannot have this operand {'a' if name == 'ra' else 'b'}: "
                                       f"{word.token} itself uses {name}, otherwise", word.event.token)
        event = EVENTS[word.event.token[1:]] if word.event else Event.NONE
        return MicroWord.const({"op": word.op, **fields, "event": event, "entry": address in entries}).as_bits()

    def finish(self):
        """The second pass: gives the Image."""
        self.complete = True
        for name in self.defines:
            raise InputError(f"{name} is defined from outside, but no `.const {name} ?=` takes it", file=self.main.path)
        for name, scope in self.aliases:
            if name in self.symbols:
                raise scope.error(f"{name} is a {self.symbols[name].kind} too", name)
        for declared in self.declared:
            if declared.type is not None and declared.type not in self.structs:
                raise self._unknown_struct(declared.type, declared.scope)
        types = self._types()
        heap = self._place()
        constants = {
            name: self._value(symbol, symbol.token, symbol.scope)
            for name, symbol in self.symbols.items() if symbol.kind not in ("label", "object")
        }
        for name, (token, scope) in self.entries.items():
            if self.symbols[name].value not in self.words:
                raise scope.error(f"no word follows the entry point {name}", token)
        entries = {self.symbols[name].value for name in self.entries}
        raw = {address: self._bits(address, word, entries) for address, word in self.words.items()}
        return Image(
            path=self.main.path,
            title=self.main.path.stem if self.title is None else self.title,
            n_cores=self.n_cores,
            xlen=self.xlen,
            words=tuple(raw.get(address, 0) for address in range(max(raw, default=-1) + 1)),
            symbols={name: symbol.value for name, symbol in self.symbols.items() if symbol.kind == "label"},
            entries=frozenset(self.entries),
            arena=self._start_values(),
            objects=self._stored(types),
            constants=constants,
            structs=types,
            warnings=self.warnings,
            names={name: tuple(addresses) for name, addresses in self.names.items()},
            lines={address: _line(word) for address, word in self.words.items()},
            percpu_base=self.percpu_base.value,
            percpu_shift=self.percpu_shift.value,
            heap=heap,
        )


def _terms(address, scope, sign=1):
    """The terms of a sum as (sign, _Bound), also those in the argument of a macro."""
    if isinstance(address, syntax.Ref) and not address.path and address.token in scope.arguments:
        bound = scope.arguments[address.token]
        return _terms(bound.expression, bound.scope, sign)
    if isinstance(address, syntax.Binary) and address.operator in ("+", "-"):
        right = -sign if address.operator == "-" else sign
        return [*_terms(address.left, scope, sign), *_terms(address.right, scope, right)]
    return [(sign, _Bound(address, scope))]


def _line(word):
    source, number = word.scope.source, word.token.line
    return Line(source.name, number, source.lines[number - 1].strip(),
                tuple((call.source.name, call.line) for call in word.scope.expansion))


def _count(number, noun, names=""):
    """``2 operands (rd, b)``."""
    return (f"{number} {noun}" if number == 1 else f"{number or 'no'} {noun}s") + (f" ({names})" if names else "")


def _reason(error):
    return "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else error.strerror


def assemble(path, *, n_cores, xlen, defines=None):
    """Assembles a file for a machine of ``n_cores`` cores of ``xlen`` bits.

    Parameters
    ----------
    path : the file. What it includes is looked for beside it, then among the shipped sources.
    defines : values for the constants that the program declares with ``?=``, by name.

    Raises InputError, with the place, for whatever is wrong with the program. Equal files give equal images.
    """
    MachineConfig(n_cores=n_cores, xlen=xlen)
    path = Path(path)
    assembler = _Assembler(n_cores, xlen, defines or {})
    try:
        assembler.read(path, path.name)
        return assembler.finish()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read: {_reason(error)}", file=path) from None
    except RecursionError:
        raise InputError("nested too deeply", file=path) from None
