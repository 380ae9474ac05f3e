"""Assembles a protocol: ``.uasm`` text -> Image. The language is described in ``docs/microcode.md``.

Two passes. The first goes through the statements in order: it opens files, expands macros, evaluates conditions, gives every word
an address and every name a place. The second evaluates what may refer to something later: constants, start values, immediates,
branch targets.
"""

import os
import posixpath
from collections import ChainMap
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from amaranth.hdl import Shape

from rtl.apic.registers import ApicRegister
from rtl.config import MachineConfig
from rtl.core.microword import IMMEDIATE_BITS, MEMORY_OPS, OPERATIONS, TARGET_BITS, MicroWord, Op
from rtl.events import Event
from sim.errors import InputError
from sim.spelling import closest
from sim.texts import count, read_text

from . import syntax
from .events import EVENTS, SIGNATURES
from .image import Image, Line
from .names import FENCES, REGISTERS, Bound, Call, Names, Scope, Symbol
from .roles import CALLS, ROLES, Kind, Role
from .syntax import Source, first_token

__all__ = ["MNEMONICS", "SOURCES", "UnknownDefine", "assemble", "forms", "usage"]

#: The shipped sources, the second place where an ``.include`` looks.
SOURCES = Path(__file__).parent / "sources"

#: Operation by the name that a program writes.
MNEMONICS = {op.name.lower(): op for op in OPERATIONS}

#: How each kind of operand is displayed.
OPERANDS = {"d": "rd", "a": "ra", "r": "rb", "b": "b", "m": "[ra + imm]", "t": "t", "i": "i", "c": "rd", "k": "k"}

_MAX_WORDS = 1 << TARGET_BITS
#: Statements of one program, including those that macros expand to; macros that double would never end.
_MAX_STATEMENTS = 100_000
#: Registers and constants in the sum of one address.
_MAX_TERMS = 1000
_MAX_IMMEDIATE = (1 << IMMEDIATE_BITS) - 1
_MAX_APIC_REGISTER = (1 << Shape.cast(ApicRegister).width) - 1
#: Operand of an event -> its fields.
_EVENT_FIELDS = {"a": {"ra"}, "b": {"rb", "k", "use_imm"}}
#: The constant of an operand ``k``: its low half is in rb, its high half in rd.
_MAX_SMALL = len(REGISTERS) ** 2 - 1


def forms(op):
    """The kinds of operands with which an operation may be written, shortest form first: ``t(dm)`` is ``t`` or ``tdm``."""
    required, _, optional = OPERATIONS[op].operands.rstrip(")").partition("(")
    return [required, required + optional] if optional else [required]


def usage(kinds):
    """Operands as displayed: ``rd, [ra + imm]``."""
    return ", ".join(OPERANDS[kind] for kind in kinds)


class UnknownDefine(InputError):
    """A constant from outside that the program does not take. ``name`` is its own."""

    def __init__(self, name, message, **place):
        self.name = name
        super().__init__(message, **place)


@lru_cache(maxsize=1 << 14)
def _raw(fields):
    """The raw microword of (field, value)s. Cached: most occur in many programs, and Amaranth is slow at each."""
    return MicroWord.const(dict(fields)).as_bits()


class _Sum(NamedTuple):
    """A value to compute later: (sign, Bound) of each term."""

    terms: tuple


class _Word(NamedTuple):
    """A microword of the first pass. Fields are numbers, or a _Sum for an expression."""

    token: object
    op: Op
    fields: dict
    event: object
    event_fields: dict
    scope: Scope


class _Assembler:
    def __init__(self, n_cores, xlen, defines, any_events):
        self.n_cores = n_cores
        self.any_events = any_events
        self.xlen = xlen
        self.defines = dict(defines)
        self.names = Names(n_cores, xlen)
        self.main = None
        self.title = None
        #: Resolved paths of all files read, and of those in progress.
        self.included = set()
        self.reading = []
        self.registers = ChainMap(dict(REGISTERS))
        self.aliases = []
        self.macros = {}
        #: The .warn of each name, and the words that emit WARN.
        self.warns = {}
        self.warned = {}
        #: (statement, scope) of each .role.
        self.roles = []
        self.entries = {}
        self.local_labels = []
        self.knock_outs = {}
        self.words = {}
        self.address = 0
        self.statements = 0
        #: The token and the scope being assembled, for errors of too deep nesting anywhere in it.
        self.place = None
        #: The first pass's method for each statement; it returns the scope of the next one, or None for the same.
        self.takers = {
            syntax.Include: self._include, syntax.Title: self._title, syntax.Constant: self._constant,
            syntax.Reg: self._reg, syntax.Struct: self.names.struct, syntax.Percpu: self._percpu, syntax.Shared: self._global,
            syntax.Warn: self._warn, syntax.Role: self._role, syntax.Macro: self._macro,
            syntax.Conditional: self._conditional, syntax.Entry: self._entry, syntax.Org: self._org,
            syntax.Label: self._label, syntax.LocalLabel: self._local_label, syntax.Instruction: self._instruction,
        }

    # --- first pass: files and names ----------------------------------------------------------------------------------

    def read(self, path, name, text=None):
        """Process all statements of a file, or of a text in its place."""
        source = Source(path, name, read_text(path) if text is None else text)
        self.main = self.main or source
        self.included.add(path.resolve())
        self.reading.append(path.resolve())
        self._take(syntax.parse(source), Scope(source, self.registers))
        self.reading.pop()

    def _take(self, statements, scope):
        """Process statements in order; return the scope in which the next one would be."""
        for statement in statements:
            token = first_token(statement)
            self.place = token, scope
            self.statements += 1
            if self.statements > _MAX_STATEMENTS:
                raise scope.error(f"macros expand to more than {_MAX_STATEMENTS} statements", token)
            scope = self.takers[type(statement)](statement, scope) or scope
        return scope

    def _include(self, statement, scope):
        text = statement.file[1:-1]
        folders = (scope.source.path.parent, Path(scope.source.name).parent), (SOURCES, Path())
        found = [(folder / text, posixpath.normpath(shown / text)) for folder, shown in folders if os.path.isfile(folder / text)]
        if not found:
            raise scope.error(f'there is no file "{text}", neither beside this one nor among the shipped sources', statement.file)
        path, name = found[0]
        if path.resolve() in self.reading:
            raise scope.error(f'"{text}" includes itself', statement.file)
        if path.resolve() not in self.included:
            try:
                content = read_text(path)
            except InputError as error:
                raise scope.error(f'"{text}" {error.message}', statement.file) from None
            self.read(path, name, content)

    def _title(self, statement, scope):
        # The protocol's own title counts, not that of an included protocol.
        if scope.source is self.main:
            if self.title is not None:
                raise scope.error("a second .title", statement.text)
            self.title = statement.text[1:-1]

    def _constant(self, statement, scope):
        name, value = statement.name, Bound(statement.value, scope)
        if statement.default:
            if name in self.defines:
                value = self.defines.pop(name)
            elif name in self.names.symbols and self.names.symbols[name].kind == "a constant":
                return
        self.names.define(name, Symbol("a constant", value, scope, name))

    def _reg(self, statement, scope):
        number = scope.register(syntax.Ref(statement.register))
        if number is None:
            raise self._unknown_register(statement.register, scope)
        name = statement.name
        if scope.registers.get(name, number) != number:
            raise scope.error(f"{name} is r{scope.registers[name]} already", name)
        if name in scope.arguments:
            raise scope.error(f"{name} is a parameter of the macro", name)
        scope.registers[str(name)] = number
        self.aliases.append((name, scope))

    def _warn(self, statement, scope):
        name = statement.name
        if name in self.warns:
            known, where = self.warns[name]
            raise scope.error(f"{name} is a warning already, at {where.source.path}:{known.name.line}", name)
        self.warns[str(name)] = statement, scope

    def _role(self, statement, scope):
        self.roles.append((statement, scope))

    def _parts(self):
        """Role -> the Parts that have it."""
        parts = {}
        for statement, scope in self.roles:
            token, name = statement.role.token, "".join((statement.role.token, *statement.role.path))
            role = ROLES.get(name)
            if role is None and name.startswith(CALLS):
                if f"cmd_{name.removeprefix(CALLS)}" not in self.entries:
                    known = [entry.removeprefix("cmd_") for entry in self.entries if entry.startswith("cmd_")]
                    raise scope.error(f"there is no entry point cmd_{name.removeprefix(CALLS)}"
                                      f"{closest(name.removeprefix(CALLS), known)}", token)
                role = Role(Kind.ROUTINE, "")
            if role is None:
                raise scope.error(f"unknown role {name}{closest(name, ROLES)}", token)
            for part in statement.parts:
                found = self.names.part(role.kind, part, scope)
                of = role.within and parts.get(role.within)
                if role.within and (not of or found.name != of[0].name):
                    raise scope.error(f"{name} is a field of the struct with the role {role.within}"
                                      f"{f', which is {of[0].name}' if of else ', and none has it so far'}", part.token)
                parts[name] = (*parts.get(name, ()), found)
            if not role.many and len(parts[name]) > 1:
                raise scope.error(f"only one thing may have the role {name}", token)
        return parts

    def _percpu(self, statement, scope):
        self.names.object(statement, scope, percpu=True)

    def _global(self, statement, scope):
        start = statement.start and tuple(Bound(value, scope) for value in statement.start)
        self.names.object(statement, scope, percpu=False, start=start)

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
        left = self.names.evaluate(condition.left, scope)
        right = self.names.evaluate(condition.right, scope) if condition.compare else 0
        compare = condition.compare or "!="
        holds = {"==": left == right, "!=": left != right, "<": left < right, "<=": left <= right,
                 ">": left > right, ">=": left >= right}[compare]
        return self._take(statement.body if holds else statement.otherwise, scope)

    # --- first pass: the program --------------------------------------------------------------------------------------

    def _label(self, statement, scope):
        self.names.define(statement.name, Symbol("a label", self.address, scope, statement.name))
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
        if not scope.expansion:
            self.local_labels.append((str(name), self.address))

    def _org(self, statement, scope):
        address = self.names.evaluate(statement.address, scope)
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
            raise scope.error(f"unknown operation {name}{closest(name, [*MNEMONICS, *self.macros])}", name)
        op = MNEMONICS[name]
        fields = self._operands(op, statement, scope)
        if len(statement.events) > 1:
            raise scope.error("a word emits only one event", statement.events[1].token)
        event = statement.events[0] if statement.events else None
        event_fields = self._event_operands(op, event, fields, scope) if event else {}
        if event and not self.any_events and event.token[1:] != Event.WARN.name:
            self._check_event(op, event, fields, event_fields, scope)
        if self.address == _MAX_WORDS:
            raise scope.error(f"the program has more than {_MAX_WORDS} words", name)
        self.words[self.address] = _Word(name, op, fields, event, event_fields, scope)
        for knock_out in (*scope.knock_outs, *(token[1:] for token in statement.knock_outs)):
            # A dict, because it keeps the order and holds an address once.
            self.knock_outs.setdefault(knock_out, {})[self.address] = None
        self.address += 1

    def _warnings(self):
        """Address of each word that emits WARN -> (name, sentence)."""
        warnings = {}
        for address, (event, scope) in self.warned.items():
            if not isinstance(event.a, syntax.Ref) or event.a.path or event.b is not None:
                raise scope.error("which warning? @WARN takes the name of a .warn", event.token)
            name = event.a.token
            if name not in self.warns:
                raise scope.error(f"unknown warning {name}{closest(name, self.warns)}", name)
            warnings[address] = str(name), self.warns[name][0].text[1:-1]
        return warnings

    def _expand(self, call, scope):
        macro, home = self.macros[call.name]
        parameters = macro.parameters
        if call.name in [level.macro for level in scope.expansion]:
            raise scope.error(f"{call.name} calls itself", call.name)
        if call.events:
            raise scope.error("an event belongs to a word, not to a use of a macro", call.events[0].token)
        if len(call.operands) != len(parameters):
            raise scope.error(f"{call.name} takes {count(len(parameters), 'argument', ', '.join(parameters))}, "
                              f"not {len(call.operands)}", call.name)
        for operand in call.operands:
            if isinstance(operand, syntax.Memory):
                raise scope.error("the argument of a macro is a register or an expression, not a memory operand",
                                  first_token(operand))
        self._take(macro.body, Scope(
            home.source, scope.registers.new_child(), {},
            {str(parameter): Bound(operand, scope) for parameter, operand in zip(parameters, call.operands, strict=True)},
            (*scope.expansion, Call(str(call.name), scope.source, call.name.line)),
            (*scope.knock_outs, *(token[1:] for token in call.knock_outs)),
        ))

    def _operands(self, op, statement, scope):
        """The fields that the operands of an operation fill."""
        operands = statement.operands
        kinds = next((form for form in forms(op) if len(form) == len(operands)), None)
        if kinds is None:
            takes = " or ".join(count(len(form), "operand", usage(form)) for form in forms(op))
            raise scope.error(f"{statement.name} takes {takes}, not {len(operands)}", statement.name)
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
            elif kind == "k":
                fields["k"] = self._expression(operand, scope)
        if "r" in kinds:
            # The operation reads rb, so an event must not use the immediate in its place.
            fields.setdefault("use_imm", 0)
        if kinds != forms(op)[-1]:
            # rd = [rd], which changes nothing, whichever register an event puts there.
            fields.update(use_imm=0, imm=0)
        return fields

    def _event_operands(self, op, event, fields, scope):
        """The fields for the operands of an event. A single operand is the one that the event has; of two, it is a if it is a
        register, else b."""
        if event.token[1:] not in EVENTS:
            raise scope.error(f"unknown event {event.token[1:]}{closest(event.token[1:], EVENTS)}", event.token)
        if event.token[1:] == Event.WARN.name:
            self.warned[self.address] = event, scope
            return {}
        a, b = event.a, event.b
        signature = SIGNATURES[EVENTS[event.token[1:]]]
        alone = signature.operands.keys() == {"b"} and not (self.any_events and _has_b(op, fields))
        if b is None and a is not None and (alone or scope.register(a) is None):
            a, b = None, a
        fields = {}
        if a is not None:
            fields["ra"] = self._register(a, scope)
        if b is not None and "k" in OPERATIONS[op].operands:
            raise scope.error("operand b of this event is the stored constant", first_token(b))
        if b is not None and op in MEMORY_OPS:
            # use_imm concerns the address; b is always rb.
            fields["rb"] = self._register(b, scope)
        elif b is not None:
            fields.update(self._operand_b(b, scope))
        return fields

    @staticmethod
    def _check_event(op, event, fields, event_fields, scope):
        """Refuse an event with operands that it does not take, or without all of them. The operation's own fields count: the event
        of a store uses its base and its data."""
        token, signature = event.token, SIGNATURES[EVENTS[event.token[1:]]]
        if signature.hardware:
            raise scope.error(f"{token} is emitted only by the hardware", token)
        if signature.memory and op not in MEMORY_OPS:
            raise scope.error(f"{token} belongs to the memory operation on the lock", token)
        given = {name for name, parts in _EVENT_FIELDS.items() if not parts.isdisjoint(event_fields)}
        if not given <= signature.operands.keys():
            kinds = "; a is a register, b a register or a number" if signature.operands else ""
            raise scope.error(f"{token} takes {signature}{kinds}", first_token(event.a))
        filled = fields | event_fields
        there = {"a": "ra" in filled, "b": _has_b(op, filled)}
        missing = [name for name in signature.operands if not there[name]]
        if missing:
            raise scope.error(f"{token} takes {signature}: this word has no {' and no '.join(missing)}, so write "
                              f"{token}({', '.join(signature.operands)})", token)

    def _register(self, operand, scope):
        number = scope.register(operand)
        if number is not None:
            return number
        expansion = scope.expansion
        while isinstance(operand, syntax.Ref) and not operand.path and operand.token in scope.arguments:
            operand, scope = scope.arguments[operand.token]
        # The operand may be the argument of a macro: the notes must name the expansion that needs a register.
        scope = replace(scope, expansion=expansion)
        if isinstance(operand, syntax.Ref) and not operand.path and operand.token not in self.names.symbols:
            raise self._unknown_register(operand.token, scope)
        raise scope.error("expected a register" + (", not a memory operand" if isinstance(operand, syntax.Memory) else ""),
                          first_token(operand))

    def _unknown_register(self, token, scope):
        return scope.error(f"unknown register {token}{closest(token, scope.registers)}", token)

    def _expression(self, operand, scope):
        if isinstance(operand, syntax.Memory):
            raise scope.error("expected an expression, not a memory operand", first_token(operand))
        return _Sum(((1, Bound(operand, scope)),))

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
            if len(offset) == _MAX_TERMS:
                raise scope.error("this address is too large", first_token(operand))
            number = term.scope.register(term.expression)
            if number is None:
                offset.append((sign, term))
            elif sign < 0 or bases:
                raise scope.error("an address has one register, which is added to", first_token(operand))
            else:
                bases.append(number)
        fields = {"imm": _Sum(tuple(offset))}
        return {"use_imm": 0, "ra": bases[0], **fields} if bases else {"use_imm": 1, **fields}

    # --- second pass: the words ---------------------------------------------------------------------------------------

    def _fit(self, name, value, word):
        """The value of a field; the value of an expression is checked against the field."""
        if isinstance(value, int):
            return value
        number = sum(sign * self.names.evaluate(*bound) for sign, bound in value.terms)
        if name == "target":
            if not 0 <= number < _MAX_WORDS:
                raise self._misfit(value, word, f"the target {number} does not fit: it must be from 0 to {_MAX_WORDS - 1}")
            return number
        if name == "k":
            if not 0 <= number <= _MAX_SMALL:
                raise self._misfit(value, word, f"the constant {number} does not fit: it must be from 0 to {_MAX_SMALL}")
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
        # The expression may be the argument of a macro: the notes must name the expansion that does not fit.
        return replace(bound.scope, expansion=word.scope.expansion).error(message, first_token(bound.expression))

    def _bits(self, address, word, entries):
        """The raw microword."""
        fields = {name: self._fit(name, value, word) for name, value in word.fields.items()}
        if "k" in fields:
            fields["rd"], fields["rb"] = divmod(fields.pop("k"), len(REGISTERS))
        if "i" in OPERATIONS[word.op].operands:
            number = fields["imm"]
            if word.op is Op.FENCE and number not in FENCES.values():
                raise self._misfit(word.fields["imm"], word, f"a fence is one of {', '.join(FENCES)}, not {number}")
            if word.op is not Op.FENCE and number > _MAX_APIC_REGISTER:
                raise self._misfit(word.fields["imm"], word, f"an APIC register is from 0 to {_MAX_APIC_REGISTER}, not {number}")
        for name, value in word.event_fields.items():
            value = self._fit(name, value, word)
            if fields.setdefault(name, value) != value:
                raise word.scope.error(f"{word.event.token} cannot have this operand {'a' if name == 'ra' else 'b'}: "
                                       f"{word.token} uses the field {name} for another value", word.event.token)
        if "rd" not in fields and len(forms(word.op)) > 1:
            fields["rd"] = fields.get("ra", 0)
        event = EVENTS[word.event.token[1:]] if word.event else Event.NONE
        return _raw(tuple({"op": word.op, **fields, "event": event, "entry": address in entries}.items()))

    def finish(self):
        """The second pass: returns the Image."""
        self.names.complete = True
        for name in self.defines:
            raise UnknownDefine(name, f"{name} is defined from outside, but no `.const {name} ?=` takes it", file=self.main.path)
        for name, scope in self.aliases:
            if name in self.names.symbols:
                raise scope.error(f"{name} is {self.names.symbols[name].kind} too", name)
        self.names.check()
        structs = self.names.types()
        heap = self.names.place()
        constants = self.names.constants()
        for name, (token, scope) in self.entries.items():
            if self.names.symbols[name].value not in self.words:
                raise scope.error(f"no word follows the entry point {name}", token)
        entries = {self.names.symbols[name].value for name in self.entries}
        raw = {}
        for address, word in self.words.items():
            self.place = word.token, word.scope
            raw[address] = self._bits(address, word, entries)
        return Image(
            path=self.main.path,
            title=self.main.path.stem if self.title is None else self.title,
            n_cores=self.n_cores,
            xlen=self.xlen,
            words=tuple(raw.get(address, 0) for address in range(max(raw, default=-1) + 1)),
            symbols={name: symbol.value for name, symbol in self.names.symbols.items() if symbol.kind == "a label"},
            entries=frozenset(self.entries),
            arena=self.names.start_values(),
            objects=self.names.stored(structs),
            constants=constants,
            structs=structs,
            warnings=self._warnings(),
            roles=self._parts(),
            names={name: tuple(addresses) for name, addresses in self.knock_outs.items()},
            lines={address: _line(word) for address, word in self.words.items()},
            percpu_base=self.names.percpu_base.value,
            percpu_shift=self.names.percpu_shift.value,
            heap=heap,
            local_labels=tuple(self.local_labels),
        )


def _terms(address, scope, sign=1):
    """The terms of a sum as (sign, Bound), also those in the argument of a macro."""
    if isinstance(address, syntax.Ref) and not address.path and address.token in scope.arguments:
        bound = scope.arguments[address.token]
        yield from _terms(bound.expression, bound.scope, sign)
    elif isinstance(address, syntax.Binary) and address.operator in ("+", "-"):
        yield from _terms(address.left, scope, sign)
        yield from _terms(address.right, scope, -sign if address.operator == "-" else sign)
    else:
        yield sign, Bound(address, scope)


def _has_b(op, fields):
    """Whether these fields include an operand b. In a memory operation the immediate is the address, and b is always rb."""
    return not {"rb", "k"}.isdisjoint(fields) or bool(fields.get("use_imm")) and op not in MEMORY_OPS


def _line(word):
    source, number = word.scope.source, word.token.line
    return Line(source.name, number, source.lines[number - 1].strip(),
                tuple((call.source.name, call.line) for call in word.scope.expansion))


def assemble(path, *, n_cores, xlen, defines=None, text=None, any_events=False):
    """Assembles a file for a machine of ``n_cores`` cores of ``xlen`` bits.

    Parameters
    ----------
    path : the file. Includes are searched beside it, then among the shipped sources.
    defines : values for the constants that the program declares with ``?=``, by name.
    text : replaces the contents of the file, which then need not exist.
    any_events : let events have any operands, or none: for tests of the core, to which they mean nothing.

    Raises InputError, with the place, for any error in the program. Equal files give equal images.
    """
    MachineConfig(n_cores=n_cores, xlen=xlen)
    path = Path(path)
    assembler = _Assembler(n_cores, xlen, defines or {}, any_events)
    try:
        assembler.read(path, path.name, text)
        return assembler.finish()
    except RecursionError:
        if assembler.place is None:
            raise InputError("nested too deeply", file=path, line=1) from None
        token, scope = assembler.place
        raise scope.error("nested too deeply", token) from None
