"""The body of a litmus file as written, with every token in its place. reader.py gives it a meaning."""

from typing import NamedTuple

from .text import Refusal, Token

__all__ = ["Array", "Atom", "Body", "Cell", "Deref", "Join", "Memory", "Negation", "Place", "Plain", "Start", "Truth", "Written",
           "body"]


class Place(NamedTuple):
    """A location, or a register of a thread.

    token : where it begins.  column : of a register, as ``P0`` or ``H0``; None for a location.  name : its Token.
    index : of an element of an array: a Token, or None.
    """

    token: Token
    column: str | None
    name: Token
    index: Token | None = None


class Start(NamedTuple):
    """A declaration. types : the words before the place.  pointer : with ``*``.  value : a Token, a Place or None.

    A name as a value is an address."""

    place: Place
    types: tuple
    pointer: bool
    value: object


class Array(NamedTuple):
    """A declaration ``int t[2] = {1, 2}``; ``values`` is empty without a list."""

    place: Place
    types: tuple
    length: Token
    values: tuple


class Plain(NamedTuple):
    """An operand that is one token: a constant, a register, a name."""

    token: Token


class Memory(NamedTuple):
    """An operand in brackets or parentheses: base + index * scale + offset.

    token : where it begins.  base, index, scale : Tokens or None.  offset : Tokens to add.
    size : ``dword ptr``, or None.  round : in parentheses.
    """

    token: Token
    base: Token | None
    index: Token | None = None
    scale: Token | None = None
    offset: tuple = ()
    size: Token | None = None
    round: bool = False


class Written(NamedTuple):
    """An instruction. lock : the Token, or None."""

    lock: Token | None
    name: Token
    operands: tuple


class Cell(NamedTuple):
    """labels : Tokens.  instruction : Written, or None.  end : the Token behind it."""

    labels: tuple
    instruction: Written | None
    end: Token


class Atom(NamedTuple):
    """``place sign value``. value : a Token, a Place, a Deref, or a tuple of Tokens."""

    place: Place
    sign: Token
    value: object


class Deref(NamedTuple):
    """What is at a Place: ``[x]`` or ``*x`` on the right."""

    place: Place


class Truth(NamedTuple):
    value: bool


class Negation(NamedTuple):
    condition: object


class Join(NamedTuple):
    r"""sign : ``/\``, ``\/`` or ``=>``."""

    sign: str
    conditions: tuple


class Body(NamedTuple):
    """starts : Start and Array.  columns : Tokens.  rows : of Cells.  shown : Places and their ``*`` or type, dropped.
    filter : a condition, or None.  quantifier : as written, or None.  condition : None without a quantifier.
    """

    starts: tuple
    columns: tuple
    rows: tuple
    shown: tuple
    filter: object
    quantifier: str | None
    condition: object


def body(tokens):
    """The Body in the tokens. Raises Refusal."""
    return _Parser(tokens).body()


class _Parser:
    """Recursive descent. A method reads what its name says, from the next token on."""

    #: How deep a condition may be nested.
    DEPTH = 100

    def __init__(self, tokens):
        self._tokens = tokens
        self._next = 0
        self._depth = 0

    # --- tokens -------------------------------------------------------------------------------------------------------

    @property
    def token(self):
        return self._tokens[self._next]

    def ahead(self, count=1):
        return self._tokens[min(self._next + count, len(self._tokens) - 1)]

    def take(self):
        token = self.token
        if token.kind != "end":
            self._next += 1
        return token

    def at(self, *texts):
        return self.token in texts and self.token.kind in ("sign", "name")

    def accept(self, *texts):
        return self.take() if self.at(*texts) else None

    def expect(self, *texts):
        return self.accept(*texts) or self.refuse(" or ".join(f"'{text}'" for text in texts))

    def expect_kind(self, kind, words):
        return self.take() if self.token.kind == kind else self.refuse(words)

    def refuse(self, words):
        token = self.token
        raise Refusal(f"expected {words}, not " + (f"'{token}'" if token.kind != "end" else "the end of the file"), token)

    # --- the file -----------------------------------------------------------------------------------------------------

    def body(self):
        starts = self.starts()
        self.accept(";")
        columns = self.columns()
        rows = []
        while not self._at_sentence() and self.token.kind != "end":
            rows.append(self.row())
        shown = self.shown()
        filter_ = self.condition() if self.accept("filter") else None
        quantifier, condition = self.sentence()
        if self.token.kind != "end":
            self.refuse("the end of the file")
        return Body(starts, columns, tuple(rows), shown, filter_, quantifier, condition)

    def _at_sentence(self):
        if self.at("not"):
            return self.ahead() == "exists"
        return self.at("locations", "filter", "exists", "forall", "final", "observed", "Observed", "~", "(") and self.ahead() != ":"

    def starts(self):
        self.expect("{")
        items = []
        if self.accept(";") and not self.at("}"):
            self.refuse("an initial value or '}'")
        while not self.accept("}"):
            items.append(self.start())
            if not self.at("}"):
                self.expect(";", "}")
        return tuple(items)

    def start(self):
        words, pointer = [], None
        while self.token.kind == "name" and self.ahead() != ":":
            words.append(self.take())
        if not words and not self.at("*", "[") and self.token.kind not in ("number", "name"):
            self.refuse("an initial value or '}'")
        pointer = self.accept("*")
        if self.at("[") and self.ahead().kind == "number" and words:
            return self.array(words)
        # The last word is the location, unless something else is.
        if pointer is None and words and not self.at("[") and not self._at_register():
            place = Place(words[-1], None, words.pop())
        else:
            place = self.place(bracketed=True)
        value = self.value() if self.accept("=") else None
        return Start(place, tuple(words), pointer is not None, value)

    def _at_register(self):
        return self.ahead() == ":" and self.token.kind in ("number", "name")

    def array(self, words):
        self.expect("[")
        length = self.take()
        self.expect("]")
        values = self.values() if self.accept("=") else ()
        return Array(Place(words[-1], None, words[-1]), tuple(words[:-1]), length, values)

    def values(self):
        self.expect("{")
        values = []
        while not self.accept("}"):
            values.append(self.value())
            if not self.at("}"):
                self.expect(",", "}")
        return tuple(values)

    def value(self):
        """A number, the name of a location (its address), or a register of a thread."""
        self.accept("&")
        if self._at_register():
            return self.place()
        if self.token.kind in ("number", "name"):
            return self.take()
        return self.refuse("a value")

    def place(self, bracketed=False):
        token = self.token
        if bracketed and self.accept("["):
            name = self.expect_kind("name", "a location")
            self.expect("]")
            return Place(token, None, name)
        if self._at_register():
            column = self.take()
            self.expect(":")
            if self.token.kind not in ("name", "register", "constant"):
                self.refuse("a register")
            return Place(token, column if column[0] in "PH" else f"P{column}", self.take())
        name = self.expect_kind("name", "a location or a register")
        if self.at("[") and self.ahead().kind == "number":
            self.expect("[")
            index = self.take()
            self.expect("]")
            return Place(token, None, name, index)
        return Place(token, None, name)

    # --- the program --------------------------------------------------------------------------------------------------

    def columns(self):
        columns = [self.expect_kind("name", "a thread (P0)")]
        while self.accept("|"):
            columns.append(self.expect_kind("name", "a thread (P0)"))
        self.expect("|", ";")
        return tuple(columns)

    def row(self):
        cells = [self.cell()]
        while cells[-1].end == "|":
            cells.append(self.cell())
        return tuple(cells)

    def cell(self):
        labels = []
        while self.token.kind == "name" and self.ahead() == ":":
            labels.append(self.take())
            self.take()
        instruction = None if self.at("|", ";") else self.instruction()
        return Cell(tuple(labels), instruction, self.expect("|", ";"))

    def instruction(self):
        lock = None
        if self.token.lower() == "lock" and self.token.kind == "name":
            lock = self.take()
            self.accept(";")
        name = self.expect_kind("name", "an instruction, '|' or ';'")
        operands = []
        if not self.at("|", ";"):
            operands.append(self.operand())
            while self.accept(","):
                operands.append(self.operand())
        return Written(lock, name, tuple(operands))

    def operand(self):
        token = self.token
        if self.at("*"):
            raise Refusal("a jump to an address is not supported: code is not in memory", token)
        if token.kind == "name" and self.ahead().lower() == "ptr":
            size = self.take()
            self.take()
            return self.memory(token)._replace(size=size)
        if self.at("[", "("):
            return self.memory(token)
        if token.kind not in ("number", "constant", "register", "name"):
            self.refuse("an operand")
        self.take()
        # What precedes parentheses is added to their contents.
        if self.at("(") and token.kind in ("number", "name") or self.at("[") and token.kind == "number":
            memory = self.memory(token)
            return memory._replace(offset=(token, *memory.offset))
        return Plain(token)

    def memory(self, token):
        return self._square(token) if self.expect("[", "(") == "[" else self._round(token)

    def _square(self, token):
        base, index, scale, offset = self._term(), None, None, []
        while not self.accept("]"):
            if self.token.kind == "number" and self.token.startswith("-"):
                offset.append(self.take())
                continue
            self.expect("+", "]")
            term = self._term()
            if term.kind == "number" and not self.at("*"):
                offset.append(term)
            elif index is None:
                index = term
                scale = self.expect_kind("number", "a number") if self.accept("*") else None
            else:
                raise Refusal("an address is at most a register, another one times a number, and a number", term)
        return Memory(token, base, index, scale, tuple(offset))

    def _round(self, token):
        base = None if self.at(",") else self._term()
        index = scale = None
        if self.accept(","):
            index = self._term()
            scale = self.expect_kind("number", "a number") if self.accept(",") else None
        self.expect(")")
        return Memory(token, base, index, scale, round=True)

    def _term(self):
        return self.take() if self.token.kind in ("name", "register", "number") else self.refuse("a location or a register")

    # --- the sentence -------------------------------------------------------------------------------------------------

    def shown(self):
        places = []
        if not self.accept("locations"):
            return ()
        self.expect("[")
        while not self.accept("]"):
            places.append(self.place(bracketed=True))
            self.accept("*") or self.token.kind == "name" and self.take() and self.accept("*")
            if not self.at("]"):
                self.expect(";", "]")
        self.accept(";")
        return tuple(places)

    def sentence(self):
        if self.token.kind == "end":
            return None, None
        if self.at("("):
            quantifier, condition = "exists", self.condition()
        elif self.accept("observed", "Observed"):
            quantifier, condition = "exists", self.observations()
        else:
            quantifier = self.quantifier()
            condition = self.condition()
        self.accept(";")
        if self.accept("with"):
            self.kinds()
        return quantifier, condition

    def quantifier(self):
        if self.accept("~", "not"):
            self.expect("exists")
            return "~exists"
        word = self.expect("exists", "forall", "final")
        return "exists" if word == "final" else str(word)

    def kinds(self):
        """What holds under other models is ignored."""
        while self.token.kind == "name":
            self.take()
            self.expect(":")
            self.quantifier()
            self.accept(";")

    def observations(self):
        outcomes = []
        while True:
            atoms = []
            while self.token.kind in ("name", "number") and not self.at("and") or self.at("["):
                atoms.append(self.atom())
                self.expect(";")
            outcomes.append(Join("/\\", tuple(atoms)))
            if not self.accept("and"):
                return Join("\\/", tuple(outcomes))

    def condition(self):
        r"""Loosest first: ``\/``, ``/\``, ``=>`` (from the right), ``~``, as in herd7's grammar."""
        self._depth += 1
        if self._depth > self.DEPTH:
            raise Refusal("nested too deeply", self.token)
        condition = self._join("\\/", lambda: self._join("/\\", self.implication))
        self._depth -= 1
        return condition

    def _join(self, sign, part):
        parts = [part()]
        while self.accept(sign):
            parts.append(part())
        return parts[0] if len(parts) == 1 else Join(sign, tuple(parts))

    def implication(self):
        parts = [self.literal()]
        while self.accept("=>"):
            parts.append(self.literal())
        condition = parts.pop()
        while parts:
            condition = Join("=>", (parts.pop(), condition))
        return condition

    def literal(self):
        negations = 0
        while self.accept("~", "not"):
            negations += 1
        if self.accept("("):
            condition = self.condition()
            self.expect(")")
        elif self.at("true", "false") and self.ahead() not in ("=", "==", "!=", "<>"):
            condition = Truth(self.take() == "true")
        else:
            condition = self.atom()
        return Negation(condition) if negations % 2 else condition

    def atom(self):
        place = self.place(bracketed=True)
        sign = self.accept("=", "==", "!=", "<>") or self.refuse("'=', '==', '<>' or '!='")
        if self.at("{"):
            return Atom(place, sign, self.values())
        if self.at("["):
            return Atom(place, sign, Deref(self.place(bracketed=True)))
        if self.accept("*"):
            return Atom(place, sign, Deref(self.place()))
        return Atom(place, sign, self.value())
