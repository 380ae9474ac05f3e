"""Text of a litmus file -> its header and the tokens of its body."""

import re
from typing import NamedTuple

__all__ = ["Header", "Refusal", "Token", "split"]

#: What this machine does not support -> how it looks in a file.
_UNSAYABLE = {
    "page tables are not supported: addresses are fixed":
        r"\b(PTE|TTD|PA)\s*\(|\(\s*(oa|valid|attrs|af|db|dbm)\s*:",
    "self-modifying code is not supported: code is not in memory": r"\b(instr|label)\s*:\s*\"",
    "faults are not supported: every location may be accessed": r"\b[Ff]ault\s*\(",
}
#: Words with which files of other architectures begin, in capitals.
_OTHERS = ("AARCH64", "ARM", "ARMV8", "ASL", "BPF", "BELL", "C", "CPP", "CPP11", "GPU_PTX", "JAVA", "LISA", "MIPS", "PPC", "POWER",
           "RISCV")
_HEADER = re.compile(r"\s*(\w+)(?:[ \t]+([^\s\"]+))?")
_EXPECTED = 'expected a line "X86 NAME" or "X86_64 NAME"'
#: Everything up to the start values.
_INFO = re.compile(r'(?:"[^"]*"|[^"{]|")*?(?=\{)')
_KEY = re.compile(r"^[ \t]*([A-Za-z_]\w*[ \t]*=[^\n]*?)[ \t]*$", re.MULTILINE)
_MARK = re.compile(r'\(\*|"[^"]*"|<<')
_NESTED = re.compile(r"\(\*|\*\)")
#: The groups are the kinds of tokens; a sign is its own kind.
_TOKEN = re.compile(r"""
    \s* (?: (?P<number> -?[0-9]\w*)
          | (?P<constant> \$ (?: -?\w[\w.]* | \.[\w.]+ ))
          | (?P<register> % \w[\w.]*)
          | (?P<name> [A-Za-z_.][\w.]*)
          | (?P<sign> /\\ | \\/ | => | == | != | <> | [][{}()|;:,=~*&+])
          | (?P<end> \Z)
          | (?P<other> .))""", re.VERBOSE)


class Token(str):
    """A piece of the text. kind : number, constant ($1), register (%eax), name, sign or end.  start : its position in the text."""

    __slots__ = ("kind", "start")

    def __new__(cls, text, kind, start):
        token = super().__new__(cls, text)
        token.kind, token.start = kind, start
        return token


class Refusal(Exception):
    """Bad input. ``token`` : the place."""

    def __init__(self, message, token):
        super().__init__(message)
        self.token = token


class Header(NamedTuple):
    """architecture : "X86" or "X86_64".  name : inside the file.  info : a Token for each line KEY=VALUE."""

    architecture: str
    name: str
    info: tuple


def split(text):
    """(Header, tokens of the body) of a file. The body begins with the start values. Raises Refusal."""
    text = _without_comments(text)
    found = _HEADER.match(text)
    word = Token(found[1], "name", found.start(1)) if found else Token("", "end", 0)
    architecture = word.upper()
    if architecture not in ("X86", "X86_64"):
        if architecture in _OTHERS:
            raise Refusal(f"{word} is another architecture: X86 and X86_64 are supported", word)
        raise Refusal(_EXPECTED if word else f"{_EXPECTED}, not the end of the file", word)
    if found[2] is None:
        raise Refusal(f"{_EXPECTED}: the test has no name", word)
    info = _INFO.match(text, found.end())
    if info is None:
        raise Refusal("expected '{' and the initial values, not the end of the file", Token("", "end", len(text)))
    keys = tuple(Token(key[1], "key", found.end() + key.start(1)) for key in _KEY.finditer(info[0]))
    _check_sayable(text, info.end())
    return Header(architecture, found[2], keys), list(_tokens(text, info.end()))


def _tokens(text, position):
    while True:
        found = _TOKEN.match(text, position)
        kind = found.lastgroup
        token = Token(found[kind], kind, found.start(kind))
        if kind == "other":
            raise Refusal(f"{token!r} means nothing here", token)
        yield token
        if kind == "end":
            return
        position = found.end()


def _without_comments(text):
    """The text with blanks for comments, which may be nested, so that everything keeps its place; no comment begins inside quotes.
    Information for other tools follows ``<<``, and is dropped."""
    pieces, end = [], 0
    while (found := _MARK.search(text, end)) is not None:
        pieces.append(text[end:found.start()])
        if found[0] == "<<":
            return "".join(pieces)
        end = found.end()
        if found[0] == "(*":
            end = _end_of_comment(text, found.start())
            pieces.append(re.sub(r"[^\n]", " ", text[found.start():end]))
        else:
            pieces.append(found[0])
    return "".join(pieces) + text[end:]


def _end_of_comment(text, start):
    depth = 0
    for mark in _NESTED.finditer(text, start):
        depth += 1 if mark[0] == "(*" else -1
        if not depth:
            return mark.end()
    raise Refusal("this comment is not closed", Token("(*", "sign", start))


def _check_sayable(text, start):
    places = [(found.start(), message, found[0]) for message, pattern in _UNSAYABLE.items()
              for found in [re.compile(pattern).search(text, start)] if found]
    if places:
        place, message, shown = min(places)
        raise Refusal(message, Token(shown, "name", place))
