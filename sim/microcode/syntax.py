"""Text of a protocol -> statements. The grammar is ``grammar.lark``; what cannot be read is refused in words."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedInput, v_args

from sim.errors import InputError
from sim.spelling import closest

__all__ = [
    "Binary", "Condition", "Conditional", "Constant", "Entry", "EventCall", "Include", "Index", "Instruction", "Label", "Local",
    "LocalLabel", "Macro", "Member", "Memory", "Negate", "Number", "Org", "Percpu", "Ref", "Reg", "Role", "Shared", "Sizeof",
    "Source", "Struct", "Title", "Type", "Warn", "first_token", "parse",
]


@dataclass(frozen=True)
class Source:
    """One file. ``path`` : where it is.  ``name`` : its displayed name, the same on every host."""

    path: Path
    name: str
    text: str

    @cached_property
    def lines(self):
        return self.text.split("\n")

    def error(self, message, token, notes=()):
        """The InputError about a token of this file."""
        return InputError(message, file=self.path, line=token.line, column=token.column, text=self.lines[token.line - 1],
                          notes=notes)


# --- expressions ------------------------------------------------------------------------------------------------------


class Number(NamedTuple):
    token: Token


class Ref(NamedTuple):
    """``name``, ``name.field``, ``name[index].field``; ``path`` holds DOTTED tokens and Index."""

    token: Token
    path: tuple = ()


class Local(NamedTuple):
    """A local label."""

    token: Token


class Sizeof(NamedTuple):
    #: The keyword.
    token: Token
    name: Token


class Index(NamedTuple):
    value: Any


class Negate(NamedTuple):
    token: Token
    value: Any


class Binary(NamedTuple):
    left: Any
    operator: Token
    right: Any


def first_token(item):
    """The first token of an expression, an operand or a statement."""
    while not isinstance(item, Token):
        item = item.token if hasattr(item, "token") else item[0]
    return item


# --- statements -------------------------------------------------------------------------------------------------------


class Include(NamedTuple):
    file: Token


class Title(NamedTuple):
    text: Token


class Constant(NamedTuple):
    name: Token
    value: Any
    #: Written with ``?=``.
    default: bool = False


class Reg(NamedTuple):
    name: Token
    register: Token


class Type(NamedTuple):
    """The type of a member or an object. A word if ``name`` is None; ``size`` is an Index or None."""

    pointer: Token | None = None
    name: Token | None = None
    size: Any = None


class Member(NamedTuple):
    name: Token
    type: Type


class Struct(NamedTuple):
    name: Token
    members: tuple


class Percpu(NamedTuple):
    name: Token
    type: Type


class Shared(NamedTuple):
    """A ``.global``. ``start`` is a tuple of expressions, or None."""

    name: Token
    type: Type
    start: tuple | None


class Warn(NamedTuple):
    name: Token
    text: Token


class Role(NamedTuple):
    """``role`` and each of ``parts`` is a Ref without indices."""

    role: Ref
    parts: tuple


class Macro(NamedTuple):
    name: Token
    parameters: tuple
    body: tuple


class Condition(NamedTuple):
    left: Any
    compare: Token | None
    right: Any


class Conditional(NamedTuple):
    condition: Condition
    body: tuple
    otherwise: tuple


class Entry(NamedTuple):
    name: Token


class Org(NamedTuple):
    address: Any


class Label(NamedTuple):
    name: Token


class LocalLabel(NamedTuple):
    name: Token


class Memory(NamedTuple):
    """A memory operand."""

    address: Any


class EventCall(NamedTuple):
    #: With its ``@``.
    token: Token
    a: Any
    b: Any


class Instruction(NamedTuple):
    """A microword or the call of a macro. ``knock_outs`` are tokens with their ``!``."""

    name: Token
    operands: tuple
    events: tuple
    knock_outs: tuple


def _items(*items):
    return items


@v_args(inline=True)
class _Statements(Transformer):
    """The callbacks for the grammar's rules."""

    start = branch = body = start_values = operands = parameters = suffixes = staticmethod(_items)
    include, title, reg, warn, entry, org, label, local_label = Include, Title, Reg, Warn, Entry, Org, Label, LocalLabel
    const, percpu, shared, condition, type, member = Constant, Percpu, Shared, Condition, Type, Member
    number, local, sizeof, index, size, negate, binary, memory = Number, Local, Sizeof, Index, Index, Negate, Binary, Memory
    event = EventCall

    def default(self, name, value):
        return Constant(name, value, default=True)

    def part(self, name, *path):
        return Ref(name, path)

    def role(self, role, *parts):
        return Role(role, parts)

    def word_member(self, name, size=None):
        return Member(name, Type(size=size))

    def struct(self, _keyword, name, *members):
        return Struct(name, members)

    def macro(self, _keyword, name, parameters, body):
        return Macro(name, parameters, body)

    def conditional(self, _keyword, condition, body, otherwise):
        return Conditional(condition, body, otherwise or ())

    inner_conditional = conditional

    def instruction(self, name, operands, suffixes):
        return Instruction(name, operands,
                           tuple(item for item in suffixes if isinstance(item, EventCall)),
                           tuple(item for item in suffixes if isinstance(item, Token)))

    def ref(self, name, *path):
        return Ref(name, path)


_PARSER = Lark.open("grammar.lark", rel_to=__file__, parser="lalr", maybe_placeholders=True, transformer=_Statements())

_DIRECTIVES = sorted(item.pattern.value.replace("\\", "").removesuffix("b")
                     for item in _PARSER.terminals if item.pattern.value.endswith(r"\b") and item.name != "SIZEOF")

#: What may come next, in words: if the parser accepts the first terminal, the phrase covers it and all the others.
_PHRASES = (
    (("_INCLUDE LABEL LOCAL_LABEL NAME _NL IF MACRO STRUCT _CONST _ELSE _END _ENTRY _GLOBAL _ORG _PERCPU _REG _ROLE _TITLE "
     "_WARN $END"),
     "a statement"),
    ("LOCAL_LABEL NAME _REG IF _NL", "an operation, a macro, a local label, .reg, .if"),
    ("LABEL NAME _NL", "a field"),
    ("NUMBER NAME SIZEOF DOTTED MINUS LPAR", "an expression"),
    ("OR AND SHIFT PLUS MINUS TIMES DOTTED LSQB", "an operator"),
    ("LSQB", "'['"),
    ("NAME", "a name"),
    ("STRING", 'a text in "quotes"'),
    ("COMPARE", "a comparison"),
    ("EQUAL", "'='"),
    ("COLON", "':'"),
    ("COMMA", "','"),
    ("RPAR", "')'"),
    ("RSQB", "']'"),
    ("EVENT", "an @event"),
    ("KNOCK_OUT", "a !name"),
    ("_ELSE", ".else"),
    ("_END", ".end"),
    ("_NL", "the end of the line"),
)


def _expected(accepted):
    """The terminals that the parser accepts, in words."""
    remaining = set(accepted)
    words = []
    for terminals, phrase in _PHRASES:
        terminals = terminals.split()
        if terminals[0] in remaining:
            remaining.difference_update(terminals)
            words.append(phrase)
    remaining = sorted(f"'{_PARSER.get_terminal(name).pattern.value}'" for name in remaining)
    words += remaining
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _refusal(source, error):
    """The InputError for what lark could not read."""
    if isinstance(error, UnexpectedCharacters):
        token = Token("", error.char, line=error.line, column=error.column)
        return source.error('a text must be closed by " on its line' if error.char == '"' else
                            f"unexpected character '{error.char}'", token)
    token, accepted = error.token, error.accepts
    if token.type == "$END":
        # Only a block can be open at the end of the text: every other statement ends with its line.
        keyword = [item for item in error.interactive_parser.parser_state.value_stack
                   if isinstance(item, Token) and item.type in ("STRUCT", "MACRO", "IF")][-1]
        return source.error(f"{keyword} is not closed by .end", keyword)
    if "_INCLUDE" in accepted and token.type == "DOTTED":
        if token in (".end", ".else"):
            return source.error(f"{token} without a block to belong to", token)
        return source.error(f"unknown directive {token}{closest(token, _DIRECTIVES)}", token)
    found = "the end of the line" if token.type == "_NL" else f"'{token}'"
    return source.error(f"expected {_expected(accepted)}, not {found}", token)


@lru_cache(maxsize=32)
def _parsed(text):
    """The statements of a text, cached: each program that includes a shipped source reads it."""
    # A line break at the end closes the last line; more than one does no harm.
    return _PARSER.parse(text + "\n")


def parse(source):
    """The statements of a Source. Raises InputError."""
    try:
        return _parsed(source.text)
    except UnexpectedInput as error:
        raise _refusal(source, error) from None
