"""Text of a litmus test -> LitmusTest. The grammar is ``grammar.lark``; what cannot be read is refused in words."""

import re
from pathlib import Path

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedInput, v_args
from lark.exceptions import VisitError

from sim.errors import InputError
from sim.names import closest

from . import syntax
from .syntax import Constant, Core, Equal, Instruction, Label, LitmusTest, Location, Mode, Quantifier, Register

__all__ = ["FORMS", "LOCKABLE", "MASK", "parse", "read_test"]

#: A value is one word of the machine.
MASK = 0xFFFF

#: Operands that each instruction takes: R register, M memory, C constant, L label, P core. An empty form: none.
_ARITHMETIC = ("RC", "RR", "RM", "MC", "MR")
FORMS = {
    "MOV": _ARITHMETIC, "ADD": _ARITHMETIC, "SUB": _ARITHMETIC, "AND": _ARITHMETIC, "OR": _ARITHMETIC, "XOR": _ARITHMETIC,
    "CMP": _ARITHMETIC, "INC": ("R", "M"), "DEC": ("R", "M"), "XCHG": ("RR", "RM", "MR"), "XADD": ("MR",), "CMPXCHG": ("MR",),
    "JMP": ("L",), "JE": ("L",), "JZ": ("L",), "JNE": ("L",), "JNZ": ("L",),
    "MFENCE": ("",), "LFENCE": ("",), "SFENCE": ("",), "NOP": ("",), "CLI": ("",), "STI": ("",), "HLT": ("",), "IPI": ("P",),
    "TPR": ("C",),
}
#: What may stand behind LOCK, if it writes memory.
LOCKABLE = ("ADD", "SUB", "AND", "OR", "INC", "DEC", "XADD", "CMPXCHG", "XCHG")
#: These are atomic or nothing: without LOCK they are refused.
_NEEDS_LOCK = ("XADD", "CMPXCHG")
_NOT_IN_HANDLERS = ("CLI", "STI", "HLT", "TPR")
#: Classes of interrupts.
_CLASSES = 16
#: What a core needs to hold its registers and those of its handler.
_MAX_REGISTERS = 6
_MAX_THREADS = 16

_KINDS = {Register: "R", Constant: "C", Location: "M", Label: "L", Core: "P"}
_KIND_NAMES = {"R": "register", "C": "constant", "M": "memory", "L": "label", "P": "thread"}
_REGISTER = re.compile(r"[ER]([ABCD]X|[SD]I|BP|SP)|R(8|9|1[0-5])D?", re.IGNORECASE)
_PART_OF_REGISTER = re.compile(r"[ABCD][XLH]|([SD]I|BP|SP)L?|R(8|9|1[0-5])[BW]", re.IGNORECASE)


def _register(text):
    """The name of the register, or None if it is none."""
    found = _REGISTER.fullmatch(text)
    return found and (f"E{found[1]}" if found[1] else f"R{found[2]}").upper()


def _text(token):
    return re.sub(r"\s+", "", token)


class _Refusal(Exception):
    """``token``: about what."""

    def __init__(self, message, token):
        super().__init__(message)
        self.token = token


def _number(token):
    text = token.lstrip("$")
    try:
        value = int(text, 0)
    except ValueError:
        raise _Refusal(f"{token} is not a number", token) from None
    if not -(MASK // 2 + 1) <= value <= MASK:
        raise _Refusal(f"{token} does not fit a word of 16 bits", token)
    return value & MASK


@v_args(inline=True)
class _Builder(Transformer):
    """The callbacks of the grammar's rules. Names in conditions stay tokens: what they mean is known at the end."""

    def disjunction(self, *parts):
        return parts[0] if len(parts) == 1 else syntax.Or(parts[::2])

    def conjunction(self, *parts):
        return parts[0] if len(parts) == 1 else syntax.And(parts[::2])

    def not_(self, _sign, condition):
        return syntax.Not(condition)

    def equal(self, place, value):
        return Equal(place, _number(value))

    def truth(self, token):
        return syntax.Truth(token == "true")

    def memory(self, *tokens):
        if len(tokens) > 1 and tokens[0].split()[0].lower() not in ("dword", "qword"):
            raise _Refusal("only whole words: dword or qword", tokens[0])
        return tokens[-1], "memory"

    def immediate(self, token):
        return token, "immediate"

    def name(self, token):
        return token, "name"

    def instruction(self, *parts):
        return parts

    def cell(self, *parts):
        instruction = parts[-1] if parts and not isinstance(parts[-1], Token) else None
        return [part for part in parts if isinstance(part, Token)], instruction

    def row(self, *cells):
        return cells

    def rows(self, *rows):
        return rows

    def columns(self, *tokens):
        return tokens

    def assignment(self, kind, place, value):
        return place, 0 if value is None else _number(value)

    def init(self, *assignments):
        return assignments

    def locations(self, *places):
        return places

    def filter(self, condition):
        return condition

    def quantifier(self, token):
        text = _text(token).replace("not", "~")
        return Quantifier.EXISTS if token.type == "FINAL" else Quantifier(text)

    def model(self, *_):
        return None

    def proposition(self, quantifier, condition, *_models):
        return quantifier, condition

    def start(self, architecture, *parts):
        *info, init, columns, rows, locations, filter_, proposition = parts
        return architecture, info, init, columns, rows, locations or (), filter_ or syntax.Truth(True), *proposition


_PARSER = Lark.open("grammar.lark", rel_to=__file__, parser="lalr", maybe_placeholders=True)

#: What the parser expected, in words.
_PHRASES = {
    "ARCHITECTURE": "a line \"X86 NAME\"", "STRING": "a text in \"quotes\"", "INFO": "a line KEY=VALUE", "LBRACE": "'{'",
    "RBRACE": "'}'", "TYPE": None, "COLUMN": "a thread (P0)", "VARIABLE": "a register (0:EAX)", "LABEL": "a label", "LOCK": None,
    "SIZE": None, "NAME": "a name", "IMMEDIATE": "a constant ($1)", "NUMBER": "a number", "EXISTS": "exists",
    "NOT_EXISTS": "~exists", "FORALL": "forall", "FINAL": None, "TRUE": None, "FALSE": None, "OR": "'\\/'", "AND": "'/\\'",
    "NOT": "'~'", "_SEMI": "';'", "_TAIL": None, "VBAR": "'|'", "LSQB": "'['", "RSQB": "']'", "LPAR": "'('", "RPAR": "')'",
    "COMMA": "','", "EQUAL": "'='", "LOCATIONS": "locations", "FILTER": "filter", "WITH": None, "COLON": "':'", "$END": "the end",
}


def _expected(accepted):
    words = [_PHRASES[name] for name in _PHRASES if name in accepted and _PHRASES[name]]
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def parse(text, path):
    """The LitmusTest that a text says. ``path`` is what messages call it. Raises InputError."""
    path = Path(path)
    lines = text.split("\n")

    def error(message, line, column):
        shown = lines[line - 1] if line <= len(lines) else ""
        return InputError(message, file=path, line=line, column=column, text=shown)

    try:
        parts = _Builder().transform(_renamed(_PARSER.parse(text)))
        return _Reader(path, *parts).test()
    except UnexpectedCharacters as problem:
        raise error(f"expected {_expected(problem.allowed)}, not {problem.char!r}", problem.line, problem.column) from None
    except UnexpectedInput as problem:
        token = problem.token
        if token.type == "$END":
            raise error(f"expected {_expected(problem.accepts)}, not the end of the file",
                        len(lines), len(lines[-1]) + 1) from None
        raise error(f"expected {_expected(problem.accepts)}, not '{token}'", token.line, token.column) from None
    except VisitError as problem:
        if not isinstance(problem.orig_exc, _Refusal):
            raise
        raise error(str(problem.orig_exc), problem.orig_exc.token.line, problem.orig_exc.token.column) from None
    except RecursionError:
        raise InputError("nested too deeply", file=path) from None
    except _Refusal as problem:
        raise error(str(problem), problem.token.line, problem.token.column) from None


def _renamed(tree):
    """``not`` is no name for a method."""
    for item in tree.find_data("not"):
        item.data = "not_"
    return tree


def read_test(path):
    """The LitmusTest in a file. Raises InputError."""
    try:
        return parse(Path(path).read_text(encoding="utf-8"), path)
    except OSError as problem:
        raise InputError(f"cannot be read: {problem.strerror}", file=path) from None
    except UnicodeDecodeError:
        raise InputError("cannot be read: it is not UTF-8 text", file=path) from None


class _Reader:
    """Gives the names of one test their meaning."""

    def __init__(self, path, architecture, info, init, columns, rows, locations, filter_, quantifier, condition):
        self.path = path
        self.architecture = architecture
        self.info = info
        self.init = init
        self.columns = columns
        self.rows = rows
        self.locations = locations
        self.filter = filter_
        self.quantifier = quantifier
        self.condition = condition
        self.memory = {}
        self.registers = {str(column): {} for column in columns}

    def test(self):
        words = self.architecture.split()
        if words[0] != "X86" or len(words) < 2:
            raise _Refusal('expected a line "X86 NAME": only 32-bit x86 is known', self.architecture)
        self._check_columns()
        interrupts_off = frozenset(self._start_values())
        threads = tuple(self._thread(number, str(column)) for number, column in enumerate(self.columns))
        condition, filter_ = self._resolve(self.condition), self._resolve(self.filter)
        observed = [self._variable(place) for place in self.locations]
        observed = tuple(dict.fromkeys((*observed, *condition.variables(), *filter_.variables())))
        self._check_registers()
        return LitmusTest(
            path=self.path, name=self.path.stem, title=words[1], threads=threads, memory=self.memory, registers=self.registers,
            interrupts_off=interrupts_off, observed=observed, quantifier=self.quantifier, condition=condition, filter=filter_,
            modes=self._modes(threads),
        )

    def _check_columns(self):
        cores = sum(column[0] == "P" for column in self.columns)
        if cores > _MAX_THREADS:
            raise _Refusal(f"{cores} threads: the machine has at most {_MAX_THREADS} cores", self.columns[_MAX_THREADS])
        for number, column in enumerate(self.columns):
            if number < cores and column != f"P{number}":
                raise _Refusal(f"expected P{number}: threads are numbered from 0, handlers (H0) stand behind them", column)
            if number >= cores and (column[0] != "H" or int(column[1:]) >= cores or column in self.columns[:number]):
                raise _Refusal("a handler needs a thread of its own: H0 is the handler of P0", column)
        for row in self.rows:
            if len(row) > len(self.columns):
                token = next(filter(None, (self._first(cell) for cell in row[len(self.columns):])), self.columns[-1])
                raise _Refusal(f"a row of {len(row)} cells, but there are {len(self.columns)} threads", token)

    @staticmethod
    def _first(cell):
        labels, instruction = cell
        return labels[0] if labels else instruction and instruction[1]

    def _start_values(self):
        """Takes the start values; gives the cores whose interrupts are off."""
        for place, value in self.init:
            if place.type == "NAME":
                self.memory[str(place)] = value
                continue
            column, name = self._split(place)
            if name.upper() == "IF":
                if column[0] == "H" or value > 1:
                    raise _Refusal("IF is a thread's interrupt flag: 0 or 1", place)
                if not value:
                    yield int(column[1:])
                continue
            self.registers[column][self._register_of(name, place)] = value

    def _split(self, token):
        """(column, name) of ``0:EAX``, ``P0:EAX`` or ``H0:EAX``."""
        column, name = _text(token).split(":")
        column = column if column[0] in "PH" else f"P{column}"
        if column not in self.registers:
            raise _Refusal(f"there is no {column}", token)
        return column, name

    @staticmethod
    def _register_of(name, token):
        register = _register(name)
        if register is None:
            raise _Refusal(f"{name} is not a register of 32 bits", token)
        return register

    def _variable(self, place):
        if place.type == "NAME":
            self.memory.setdefault(str(place), 0)
            return str(place)
        column, name = self._split(place)
        register = self._register_of(name, place)
        self.registers[column].setdefault(register, 0)
        return f"{column.removeprefix('P')}:{register}"

    def _resolve(self, condition):
        if isinstance(condition, Equal):
            return Equal(self._variable(condition.variable), condition.value)
        if isinstance(condition, syntax.Not):
            return syntax.Not(self._resolve(condition.condition))
        if isinstance(condition, syntax.Truth):
            return condition
        return type(condition)(tuple(map(self._resolve, condition.conditions)))

    def _thread(self, number, column):
        instructions, labels, jumps = [], {}, []
        for row in self.rows:
            if number >= len(row):
                continue
            tokens, parts = row[number]
            for token in tokens:
                name = token.rstrip(": \t")
                if name in labels:
                    raise _Refusal(f"{name} is a label already in {column}", token)
                labels[name] = len(instructions)
            if parts is not None:
                instructions.append(self._instruction(column, *parts))
                jumps += [operand[0] for operand, known in zip(parts[2:], instructions[-1].operands, strict=True)
                          if isinstance(known, Label)]
        for token in jumps:
            if token not in labels:
                raise _Refusal(f"there is no label {token} in {column}", token)
        return syntax.Thread(column, int(column[1:]), column[0] == "H", tuple(instructions), labels)

    def _instruction(self, column, lock, name, *operands):
        op = name.upper()
        if op not in FORMS and op[-1] in "LQ":
            op = op[:-1]
        if op not in FORMS:
            if op[-1] in "BW" and op[:-1] in FORMS:
                raise _Refusal(f"{name} is about a part of a word: only whole words are known", name)
            raise _Refusal(f"unknown instruction {name}{closest(name.upper(), FORMS)}", name)
        if column[0] == "H" and op in _NOT_IN_HANDLERS:
            raise _Refusal(f"{name} cannot stand in a handler: it runs with interrupts off to its end", name)
        read = tuple(self._operand(column, op, *operand) for operand in operands)
        form = "".join(_KINDS[type(operand)] for operand in read)
        if form not in FORMS[op]:
            shown = " or ".join(", ".join(_KIND_NAMES[kind] for kind in item) or "no operands" for item in FORMS[op])
            raise _Refusal(f"{name} takes {shown}", operands[0][0] if operands else name)
        writes = form[:1] == "M" or op == "XCHG" and "M" in form
        if lock is not None and not (op in LOCKABLE and writes):
            raise _Refusal(f"LOCK cannot stand before this {name}: it stands before {', '.join(LOCKABLE)} to memory", lock)
        if op == "TPR" and read[0].value >= _CLASSES:
            raise _Refusal(f"TPR takes a class from 0 to {_CLASSES - 1}", operands[0][0])
        if lock is None and op in _NEEDS_LOCK:
            raise _Refusal(f"{name} without LOCK is not known", name)
        if op == "CMPXCHG":
            self.registers[column].setdefault("EAX", 0)
        text = ("LOCK " if lock else "") + " ".join(filter(None, (str(name), ", ".join(
            f"[{token}]" if kind == "memory" else str(token) for token, kind in operands))))
        return Instruction(op, read, lock is not None or op == "XCHG", text)

    def _operand(self, column, op, token, kind):
        if kind == "immediate":
            return Constant(_number(token))
        if kind == "name":
            if "L" in FORMS[op]:
                return Label(str(token))
            if "P" in FORMS[op]:
                if token[0] != "P" or str(token) not in self.registers:
                    raise _Refusal(f"there is no thread {token}", token)
                if f"H{token[1:]}" not in self.registers:
                    raise _Refusal(f"{token} has no handler: a column H{token[1:]}", token)
                return Core(int(token[1:]))
            register = _register(token)
            if register:
                self.registers[column].setdefault(register, 0)
                return Register(register)
            if _PART_OF_REGISTER.fullmatch(token):
                raise _Refusal(f"{token} is a part of a register: only whole ones are known", token)
        if _register(token):
            raise _Refusal("an address in a register is not known: name the location", token)
        self.memory.setdefault(str(token), 0)
        return Location(str(token))

    def _check_registers(self):
        for column in self.columns:
            if column[0] == "P":
                names = [*self.registers[column], *self.registers.get(f"H{column[1:]}", ())]
                if len(names) > _MAX_REGISTERS:
                    raise _Refusal(f"{column} and its handler use {len(names)} registers: a core has {_MAX_REGISTERS} for them",
                                   column)

    def _modes(self, threads):
        """The modes of the local APICs in which the test is run."""
        sends = any(instruction.op == "IPI" for thread in threads for instruction in thread.instructions)
        modes = tuple(Mode) if sends else ()
        for token in self.info:
            key, _, value = token.partition("=")
            if key.strip() != "Mode":
                continue
            value = value.strip()
            if value not in ("xapic", "x2apic", "both"):
                raise _Refusal("Mode is xapic, x2apic or both", token)
            modes = tuple(Mode) if value == "both" else (Mode(value),)
        return modes
