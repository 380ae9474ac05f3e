"""The body of a litmus file, from tree.py -> LitmusTest: names get their meaning, instructions one form, values a width."""

import re
from typing import NamedTuple

from rtl.config import MachineConfig
from sim.spelling import closest
from sim.texts import count

from . import instructions, syntax, tree
from .instructions import FORMS, JUMPS, LOCKABLE, MOVES, Part
from .text import Refusal
from .widths import Use, Widths, fits, signed

__all__ = ["Reader"]

_NOT_IN_HANDLERS = ("CLI", "STI", "HLT", "TPR")
#: Classes of interrupts.
_CLASSES = 16
#: Cores of the largest machine for a test, and the capacity of its memory.
_MAX_THREADS = 16
_MAX_ELEMENTS = 1 << 12
#: Digits of a number; more than any that fits.
_MAX_DIGITS = 40
#: The address of the first location in every machine: behind the words that fault.
_BASE = MachineConfig.NULL_WORDS

_TYPES = {"char": 8, "short": 16, "int": 32, "signed": 32, "unsigned": 32, "float": None, "double": None, "__int128": None,
          "__uint128": None, "int128_t": None, "uint128_t": None}
#: Words of a declaration that do not affect its size.
_QUALIFIERS = ("_Atomic", "atomic", "volatile", "const", "static", "struct")
_KIND_NAMES = {"R": "register", "C": "constant", "M": "memory", "L": "label", "P": "thread"}
_KINDS = {syntax.Register: "R", syntax.Constant: "C", syntax.Location: "M", syntax.Indirect: "M", syntax.Label: "L",
          syntax.Core: "P"}


def _number(token):
    digits = token.lstrip("$").lstrip("-")
    if len(digits) > _MAX_DIGITS:
        raise Refusal(f"a number of {len(digits)} digits does not fit 64 bits", token)
    if re.fullmatch(r"0[xX][0-9a-fA-F]+|[0-9]+", digits) is None:
        raise Refusal(f"{token} is not a number", token)
    value = int(digits, 16 if digits[:2].lower() == "0x" else 10)
    return -value if "-" in token else value


class _Item(NamedTuple):
    """An instruction that is read except for its constants, whose width is not known yet.

    token : its name.  bits : its explicit size, or None.  registers : (name, bits or None) that it reads or writes as numbers.
    constants : its Constant operands by number -> Token.
    """

    instruction: syntax.Instruction
    token: object
    bits: int | None
    registers: tuple
    constants: dict


class Reader:
    """Resolves the names of one test.

    Members that fill up: memory (location -> start value), arrays (name -> elements), registers (column -> {register: start}),
    types (variable -> (bits or None, unsigned)), pointers (variables that hold addresses).
    """

    def __init__(self, path, text, header, body):
        self.path = path
        self.text = text
        self.header = header
        self.body = body
        self.memory = {}
        self.arrays = {}
        self.registers = {str(column): {} for column in body.columns}
        self.types = {}
        self.pointers = set()
        self.values = []                # (variable, value, Token) that must fit a width
        self.given = {}                 # variable -> whether its start value is explicit
        self.off = set()
        self.labels = set()
        self.source_first = False
        self.is_64 = header.architecture == "X86_64"

    def test(self):
        self._check_columns()
        self._declare()
        self._find_locations()
        self.addresses = {name: _BASE + number for number, name in enumerate(self.memory)}
        self._start_values()
        self.source_first = self._is_source_first()
        columns = {str(column): self._column(number, str(column)) for number, column in enumerate(self.body.columns)}
        for name, (items, _labels) in columns.items():
            self._fix_addresses(name, items)
        quantifier, sentence = self._sentence()
        shown = self._shown()
        widths = Widths([self._use(name, item) for name, (items, _) in columns.items() for item in items],
                        {variable: bits for variable, (bits, _) in self.types.items() if bits},
                        64 if self.is_64 and not self._has_32(columns) else 32,
                        {name for name, (items, labels) in columns.items() if self._goes_back(items, labels)})
        condition, filter_ = (self._resolve(item, widths) for item in (sentence, self.body.filter or tree.Truth(True)))
        xlen = widths.xlen([(variable, self._sized(value, variable, token, widths), token)
                            for variable, value, token in self.values], self._needs(columns))
        threads = tuple(self._thread(name, items, labels, widths) for name, (items, labels) in columns.items())
        observed = tuple(dict.fromkeys((*shown, *condition.variables(), *filter_.variables())))
        if quantifier is syntax.Quantifier.NOTHING and not observed:
            observed = (*self.memory, *(self._name(column, name) for column in self.registers for name in self.registers[column]))
        return syntax.LitmusTest(
            path=self.path, name=self.path.stem, title=self.header.name, threads=threads, xlen=xlen,
            memory={name: self._start(name, value, widths) for name, value in self.memory.items()},
            registers={column: {name: self._start((column, name), value, widths) for name, value in registers.items()}
                       for column, registers in self.registers.items()},
            addresses=self.addresses, pointers=frozenset(map(self._spoken, self.pointers)),
            unsigned={self._spoken(variable): widths.bits(variable) for variable, (_, unsigned) in self.types.items() if unsigned},
            interrupts_off=frozenset(self.off), observed=observed, quantifier=quantifier, condition=condition, filter=filter_,
            modes=self._modes(threads),
        )

    # --- columns ------------------------------------------------------------------------------------------------------

    def _check_columns(self):
        columns, rows = self.body.columns, self.body.rows
        for column in columns:
            if re.fullmatch(r"[PH][0-9]+", column) is None:
                raise Refusal(f"expected a thread (P0), not '{column}'", column)
        cores = sum(column[0] == "P" for column in columns)
        if cores > _MAX_THREADS:
            raise Refusal(f"{cores} threads: the machine has at most {_MAX_THREADS} cores", columns[_MAX_THREADS])
        for number, column in enumerate(columns):
            if number < cores and column != f"P{number}":
                raise Refusal(f"expected P{number}: threads are numbered from 0, handlers (H0) come after them", column)
            if number >= cores and (column[0] != "H" or int(column[1:]) >= cores or column in columns[:number]):
                raise Refusal("a handler needs a thread of its own: H0 is the handler of P0", column)
        for row in rows:
            if len(row) != len(columns):
                cell = row[min(len(columns), len(row) - 1)]
                first = next(filter(None, (*cell.labels, cell.instruction and cell.instruction.name)), cell.end)
                said = f"{len(row)} cells" if len(row) > 1 else "one cell" if first is not cell.end else "nothing"
                raise Refusal(f"a row of {said}, but there are {len(columns)} threads: write '|' between cells, also between "
                              "empty ones", first)
            if len(row) == 1 and row[0].instruction is None and not row[0].labels:
                raise Refusal("an empty row: there is one ';' too many", row[0].end)

    # --- start values -------------------------------------------------------------------------------------------------

    def _declare(self):
        """Take the names, types and arrays of all declarations."""
        for item in self.body.starts:
            bits, unsigned = self._type(item.types, getattr(item, "pointer", False))
            if isinstance(item, tree.Array):
                self._declare_array(item, bits, unsigned)
                continue
            if item.place.column is None and item.place.index is None:
                variable = str(item.place.name)
                self.memory.setdefault(variable, None)
            else:
                column, name = self._split(item.place)
                if name.upper() == "IF":
                    continue
                variable = column, self._register_of(item.place.name)
            if item.types or item.pointer:
                if variable in self.types:
                    raise Refusal(f"{self._spoken(variable)} is declared already", item.place.token)
                self.types[variable] = bits, unsigned
                if item.pointer:
                    self.pointers.add(variable)

    def _declare_array(self, item, bits, unsigned):
        name, length = str(item.place.name), _number(item.length)
        if not 0 < length <= _MAX_ELEMENTS:
            raise Refusal(f"an array has from 1 to {_MAX_ELEMENTS} elements", item.length)
        if name in self.arrays or name in self.memory:
            raise Refusal(f"{name} is declared already", item.place.token)
        if item.values and len(item.values) != length:
            raise Refusal(f"{name} has {count(length, 'element')}, and {count(len(item.values), 'value')}", item.place.token)
        self.arrays[name] = tuple(f"{name}[{number}]" for number in range(length))
        for element in self.arrays[name]:
            self.memory[element] = None
            self.types[element] = bits, unsigned

    def _type(self, words, pointer):
        """(bits or None, unsigned) of the words of a declaration."""
        if pointer:
            return (64 if self.is_64 else 32), True
        bits, unsigned = None, False
        for word in words:
            found = re.fullmatch(r"(?:_?atomic_)?(u?)int(?:_(?:fast|least))?(8|16|32|64)_t", word)
            if found:
                bits, unsigned = int(found[2]), bool(found[1])
            elif re.fullmatch(r"(?:atomic_)?(u?)(?:intptr_t|long)|size_t|uintptr_t", word):
                bits, unsigned = (64 if self.is_64 else 32), word in ("size_t", "uintptr_t", "ulong")
            elif word.removeprefix("atomic_") in _TYPES:
                bits = _TYPES[word.removeprefix("atomic_")] if bits is None or word in ("char", "short") else bits
                unsigned |= word == "unsigned"
                if _TYPES[word.removeprefix("atomic_")] is None:
                    raise Refusal(f"a location of the type {word} is not supported: use an integer of at most 64 bits", word)
            elif word not in _QUALIFIERS:
                known = [*_TYPES, "uint64_t", "int64_t", "uint32_t", "int32_t"]
                raise Refusal(f"there is no type {word}{closest(word, known)}", word)
        return bits, unsigned

    def _start_values(self):
        for item in self.body.starts:
            if isinstance(item, tree.Array):
                for element, value in zip(self.arrays[str(item.place.name)], item.values, strict=False):
                    self._give(element, value, value)
                continue
            place = item.place
            if place.column is not None and place.name.upper() == "IF":
                self._interrupt_flag(item)
                continue
            variable = str(place.name) if place.column is None else (place.column, self._register_of(place.name))
            if place.column is not None:
                self.registers[place.column].setdefault(variable[1], None)
            if item.value is not None or not item.types and not item.pointer:
                self._give(variable, item.value, place.token)

    def _give(self, variable, value, token):
        """Set a start value; 0 if none is given."""
        if variable in self.given:
            raise Refusal(f"{self._spoken(variable)} already has an initial value", token)
        self.given[variable] = True
        number = 0 if value is None else self._value_of(value, variable)
        if isinstance(variable, tuple):
            self.registers[variable[0]][variable[1]] = number
        else:
            self.memory[variable] = number
        self.values.append((variable, number, value if value is not None and not isinstance(value, tree.Place) else token))

    def _value_of(self, value, variable):
        """The number of a value; an address makes ``variable`` one that holds addresses."""
        if isinstance(value, tree.Place):
            raise Refusal("an initial value is a number or the address of a location", value.token)
        if value.kind in ("number", "constant") and not value.startswith("$"):
            return _number(value)
        self.pointers.add(variable)
        return self._address(value)

    def _address(self, token):
        name = token.lstrip("$")
        name = self.arrays.get(name, [name])[0]
        if name not in self.addresses:
            raise Refusal(f"there is no location {name}{closest(name, self.addresses)}", token)
        return self.addresses[name]

    def _interrupt_flag(self, item):
        column, _ = self._split(item.place)
        value = 0 if item.value is None else _number(item.value)
        if column[0] == "H" or value not in (0, 1):
            raise Refusal("IF is a thread's interrupt flag: 0 or 1", item.place.token)
        if ("IF", column) in self.given:
            raise Refusal(f"{item.place.column}:IF already has an initial value", item.place.token)
        self.given["IF", column] = True
        if not value:
            self.off.add(int(column[1:]))

    # --- names --------------------------------------------------------------------------------------------------------

    def _split(self, place):
        """(column, name) of a register."""
        if place.column not in self.registers:
            raise Refusal(f"there is no {place.column}", place.token)
        return place.column, str(place.name)

    def _register_of(self, token):
        """The displayed name of a register. Raises Refusal for anything else."""
        found = self._register(token)
        if found is None:
            raise Refusal(f"{token} is not a register", token)
        return found[0]

    def _register(self, token):
        """(name, bits or None) of a register, or None. A name with % that the processor lacks is a symbolic register."""
        name = token.lstrip("%")
        if re.fullmatch(r"[XYZ]MM[0-9]+", name, re.IGNORECASE):
            raise Refusal(f"{token} is not supported: only integer registers are", token)
        try:
            found = instructions.register(name)
        except Part:
            raise Refusal(f"{token} is the middle of a register: only low parts are supported", token) from None
        if found is None:
            return (f"%{name}", None) if token.startswith("%") else None
        return (found[0] if found[0][0] == "R" else f"{'R' if self.is_64 else 'E'}{found[0]}"), found[1]

    @staticmethod
    def _name(column, register):
        """A register as conditions write it."""
        return f"{column.removeprefix('P')}:{register}"

    def _spoken(self, variable):
        return variable if isinstance(variable, str) else self._name(*variable)

    def _find_locations(self):
        """Declare what the program names, except labels of jumps and threads of IPIs."""
        for row in self.body.rows:
            for cell in row:
                self.labels.update(map(str, cell.labels))
        for row in self.body.rows:
            for cell in row:
                for operand in cell.instruction.operands if cell.instruction else ():
                    for token in self._named(cell.instruction, operand):
                        if token in self.labels and token not in self.memory:
                            raise Refusal("self-modifying code is not supported: code is not in memory", token)
                        if token not in self.arrays:
                            self.memory.setdefault(str(token), None)

    def _named(self, instruction, operand):
        """The tokens of an operand that name locations."""
        if isinstance(operand, tree.Memory):
            return [token for token in (operand.base, *operand.offset)
                    if token is not None and token.kind == "name" and self._register(token) is None and token.upper() != "RIP"]
        token = operand.token
        found = instructions.mnemonic(instruction.name)
        takes = FORMS[found[0]][0] if found else ""
        return [token] if token.kind == "name" and not set(takes) & set("LP") and self._register(token) is None else []

    # --- instructions -------------------------------------------------------------------------------------------------

    def _is_source_first(self):
        """Whether operands are in AT&T order. Instructions that can be written one way only decide, then the syntax of memory, then
        the architecture: herd7 reads X86 in Intel's order, and X86_64 in AT&T's."""
        brackets = parentheses = percent = False
        for row in self.body.rows:
            for cell in row:
                operands = cell.instruction.operands if cell.instruction else ()
                for operand in operands:
                    memory = isinstance(operand, tree.Memory)
                    # X86 allows (ESI) beside [ESI].
                    plain = memory and operand.base is not None and operand.base.kind == "name" and self._register(operand.base)
                    parentheses |= memory and operand.round and (self.is_64 or not plain)
                    brackets |= memory and not operand.round
                    percent |= not memory and operand.token.kind == "register"
                if len(operands) == 2:
                    constants = [isinstance(operand, tree.Plain) and operand.token.kind in ("constant", "number")
                                 for operand in operands]
                    if constants[0] != constants[1]:
                        return constants[0]
        if parentheses or brackets:
            return parentheses or self.is_64 and percent
        return self.is_64

    def _column(self, number, column):
        """(items, labels) of a column."""
        items, labels, jumps = [], {}, []
        for row in self.body.rows:
            cell = row[number]
            for token in cell.labels:
                if token in labels:
                    raise Refusal(f"{token} is a label already in {column}", token)
                labels[str(token)] = len(items)
            if cell.instruction is not None:
                items.append(self._item(column, cell))
                jumps += [operand.token for operand, known in zip(cell.instruction.operands, items[-1].instruction.operands,
                                                                  strict=False) if isinstance(known, syntax.Label)]
        for token in jumps:
            if token not in labels:
                raise Refusal(f"there is no label {token} in {column}{closest(str(token), labels)}", token)
        return items, labels

    def _item(self, column, cell):
        written = cell.instruction
        op, bits = self._mnemonic(written.name)
        if column[0] == "H" and op in _NOT_IN_HANDLERS:
            raise Refusal(f"{written.name} is not allowed in a handler: it runs with interrupts off to its end", written.name)
        operands, registers, constants = [], [], {}
        for operand in self._in_order(op, written):
            known, size = self._operand(column, op, operand, bits)
            if isinstance(known, syntax.Register):
                registers.append((known.name, size))
            elif isinstance(known, syntax.Constant):
                constants[len(operands)] = operand.token
            elif size is not None:
                bits = bits or size
            operands.append(known)
        self._check_form(op, written, operands)
        if op in ("CMPXCHG", "LEA"):
            if op == "CMPXCHG":
                accumulator = self._register("%eax")[0]
                registers.append((accumulator, None))
                self.registers[column].setdefault(accumulator, None)
                operands.append(syntax.Register(accumulator))
            else:
                operands[1] = syntax.Constant(self.addresses[operands[1].name])
                self.pointers.add((column, registers[0][0]))
                constants = {}
        sizes = {size for _, size in registers if size}
        if bits is None and len(sizes) > 1 or bits is not None and sizes - {bits}:
            named = " and ".join(map(str, sorted({*sizes, *filter(None, [bits])})))
            raise Refusal(f"mixed sizes are not supported: {written.name} has {named} bits", written.name)
        bits = bits or next(iter(sizes), None)
        text = " ".join(self.text[(written.lock or written.name).start:cell.end.start].split())
        instruction = syntax.Instruction(op, tuple(operands), written.lock is not None or op == "XCHG", text)
        return _Item(instruction, written.name, bits, tuple(registers), constants)

    def _mnemonic(self, token):
        found = instructions.mnemonic(token)
        if found is not None:
            return found
        name = token.upper()
        if name.startswith(("MOVNT", "MOVD", "CLFLUSH", "CLWB")):
            raise Refusal(f"{token} is not supported: it has its own memory order", token)
        if name.startswith(("MOVZ", "MOVS")):
            raise Refusal(f"mixed sizes are not supported: {token} has two", token)
        raise Refusal(f"unknown instruction {token}{closest(name, sorted(FORMS.keys() - MOVES))}", token)

    def _in_order(self, op, written):
        """The operands, destination first."""
        operands = written.operands
        if len(operands) != 2:
            return operands
        memory = [isinstance(operand, tree.Memory) for operand in operands]
        # These have only one order; herd7 has its own for them in X86_64.
        if op in ("XADD", "CMPXCHG") and memory[0] != memory[1]:
            return operands if memory[0] else operands[::-1]
        if op in (*MOVES, "LEA") and memory[0] != memory[1]:
            return operands if memory[1] else operands[::-1]
        return operands[::-1] if self.source_first else operands

    def _operand(self, column, op, operand, bits):
        """(the meaning of an operand, its size or None)."""
        if isinstance(operand, tree.Memory):
            return self._memory(column, operand, bits)
        token = operand.token
        if token.kind in ("constant", "number"):
            if re.match(r"\$?-?[0-9]", token):
                return syntax.Constant(_number(token)), None
            return syntax.Constant(self._address(token)), None
        if "L" in FORMS[op]:
            return syntax.Label(str(token)), None
        if "P" in FORMS[op]:
            if token[0] != "P" or str(token) not in self.registers:
                raise Refusal(f"there is no thread {token}", token)
            if f"H{token[1:]}" not in self.registers:
                raise Refusal(f"{token} has no handler: a column H{token[1:]}", token)
            return syntax.Core(int(token[1:])), None
        register = self._register(token)
        if register is not None:
            self.registers[column].setdefault(register[0], None)
            return syntax.Register(register[0]), register[1]
        return syntax.Location(self._element(token, 0)), None

    def _element(self, token, offset):
        """The location ``offset`` words behind the named one."""
        elements = self.arrays.get(str(token), (str(token),))
        if not 0 <= offset < len(elements):
            raise Refusal(f"this is outside of {token}", token)
        return elements[offset]

    def _memory(self, column, operand, bits):
        size = operand.size and {"byte": 8, "word": 16, "dword": 32, "qword": 64}.get(operand.size.lower())
        if operand.size is not None and size is None:
            raise Refusal(f"there is no size {operand.size}: byte, word, dword or qword", operand.size)
        bits = size or bits
        named = [token for token in (operand.base, *operand.offset) if token is not None and token in {*self.memory, *self.arrays}]
        offset = sum(_number(token) for token in operand.offset if token.kind == "number")
        if named:
            rip = operand.base is not None and operand.base.lstrip("%").upper() == "RIP"
            if len(named) > 1 or operand.index is not None or not (rip or operand.base in named):
                raise Refusal("an address is a location or a register, and a number", operand.token)
            return syntax.Location(self._element(named[0], self._words(offset, bits or self._declared(named[0]), operand))), size
        if operand.base is None or operand.base.kind == "number":
            raise Refusal("a number as an address is not supported: name the location", operand.token)
        register = self._register(operand.base)
        self.registers[column].setdefault(register[0], None)
        index = None
        if operand.index is not None:
            if (_number(operand.scale) if operand.scale else 1) * 8 != (bits or 64):
                raise Refusal("mixed sizes are not supported: an index is multiplied by the size of the access", operand.index)
            index = self._register_of(operand.index)
            self.registers[column].setdefault(index, None)
        return syntax.Indirect(register[0], index, self._words(offset, bits, operand)), size

    def _declared(self, token):
        return self.types.get(self._element(token, 0), (None,))[0]

    def _words(self, offset, bits, operand):
        size = (bits or (64 if self.is_64 else 32)) // 8
        if offset % size:
            raise Refusal("mixed sizes are not supported: this address is between two locations", operand.token)
        return offset // size

    def _check_form(self, op, written, operands):
        form = "".join(_KINDS[type(operand)] for operand in operands)
        if form not in FORMS[op]:
            if self.source_first and form[:1] == "C":
                raise Refusal("a constant cannot be written: here the source comes first, as in other instructions of this file",
                              written.operands[0].token)
            order = -1 if self.source_first else 1
            shown = " or ".join(", ".join(_KIND_NAMES[kind] for kind in item[::order]) or "no operands" for item in FORMS[op])
            raise Refusal(f"{written.name} takes {shown}", written.operands[0].token if written.operands else written.name)
        writes = form[:1] == "M" or op == "XCHG" and "M" in form
        if written.lock is not None and not (op in LOCKABLE and writes):
            raise Refusal(f"LOCK is not allowed before this {written.name}: only before {', '.join(LOCKABLE)} to memory",
                          written.lock)
        if op == "TPR" and not 0 <= operands[0].value < _CLASSES:
            raise Refusal(f"TPR takes a class from 0 to {_CLASSES - 1}", written.operands[0].token)
        if op == "LEA" and not isinstance(operands[1], syntax.Location):
            raise Refusal("LEA of an address in a register is not supported: name the location", written.operands[0].token)

    def _fix_addresses(self, column, items):
        """An address in a register that the thread never writes is a location."""
        written = {name for item in items for name in _written(item.instruction)}
        for number, item in enumerate(items):
            operands = tuple(self._fixed(column, operand, written, item.token) for operand in item.instruction.operands)
            if any(isinstance(operand, syntax.Indirect) and operand.index for operand in operands) and (
                    item.instruction.op != "MOV" or item.constants):
                raise Refusal("an address with an index that changes is supported only in a MOV of a register", item.token)
            items[number] = item._replace(instruction=item.instruction._replace(operands=operands))

    def _fixed(self, column, operand, written, token):
        if not isinstance(operand, syntax.Indirect) or written & {operand.register, operand.index}:
            return operand
        address = (self.registers[column][operand.register] or 0) + operand.offset
        address += (self.registers[column][operand.index] or 0) if operand.index else 0
        location = next((name for name, known in self.addresses.items() if known == address), None)
        if location is None:
            raise Refusal(f"there is no location at the address in {operand.register}: it starts with none, as "
                          f"{self._name(column, operand.register)}=x", token)
        return syntax.Location(location)

    def _use(self, column, item):
        memory = []
        for operand in item.instruction.operands:
            if isinstance(operand, syntax.Location):
                memory.append(operand.name)
            elif isinstance(operand, syntax.Indirect):
                # It may be any location whose address occurs anywhere.
                taken = {number for _, number, _ in self.values} | {
                    operand.value for operand in item.instruction.operands if isinstance(operand, syntax.Constant)}
                memory += [name for name, address in self.addresses.items() if address in taken]
                memory += [element for elements in self.arrays.values() for element in elements if elements[0] in memory]
        constants = {operand.value: item.token for number, operand in enumerate(item.instruction.operands)
                     if isinstance(operand, syntax.Constant)}
        return Use(item.instruction.op, item.token, column, item.bits, memory,
                   [(column, name, bits) for name, bits in item.registers], constants)

    def _has_32(self, columns):
        return any(item.bits == 32 for items, _ in columns.values() for item in items)

    @staticmethod
    def _goes_back(items, labels):
        return any(isinstance(operand, syntax.Label) and labels[operand.name] <= number
                   for number, item in enumerate(items) for operand in item.instruction.operands)

    def _needs(self, columns):
        for column, (items, _) in columns.items():
            carry_kept = next((item.token for item in items if item.instruction.op in ("INC", "DEC")), None)
            for item in items:
                op = item.instruction.op
                need = {**JUMPS, **MOVES, **instructions.SETS}.get(op, (None, instructions.Need.NOTHING))[1]
                if need is instructions.Need.NO_SIGN and carry_kept:
                    raise Refusal(f"{item.token} is not supported together with {carry_kept}, which keeps CF", item.token)
                yield column, need, item.token

    def _thread(self, column, items, labels, widths):
        """The thread, with constants as signed numbers of their width."""
        found = []
        for item in items:
            instruction, bits = item.instruction, widths.of(self._use(column, item))
            operands = list(instruction.operands)
            for number, token in item.constants.items():
                if not fits(operands[number].value, bits):
                    raise Refusal(f"{token} does not fit {bits} bits", token)
                operands[number] = syntax.Constant(signed(operands[number].value, bits))
            found.append(instruction._replace(operands=tuple(operands)))
        return syntax.Thread(column, int(column[1:]), column[0] == "H", tuple(found), labels)

    def _start(self, variable, value, widths):
        return signed(value or 0, widths.bits(variable))

    def _sized(self, value, variable, token, widths):
        """A number as a signed one of the variable's width. Raises Refusal if it does not fit."""
        bits = widths.bits(variable)
        if not fits(value, bits):
            raise Refusal(f"{token} does not fit: {self._spoken(variable)} has {bits} bits", token)
        return signed(value, bits)

    # --- the sentence -------------------------------------------------------------------------------------------------

    def _sentence(self):
        if self.body.quantifier is None:
            return syntax.Quantifier.NOTHING, tree.Truth(True)
        return syntax.Quantifier(self.body.quantifier), self.body.condition

    def _shown(self):
        return [self._spoken(variable) for place in self.body.shown for variable in self._variables(place)]

    def _variables(self, place):
        """The variables of a place in the condition: for an array, all its elements."""
        if place.column is not None:
            column, _ = self._split(place)
            name = self._register_of(place.name)
            self.registers[column].setdefault(name, None)
            return [(column, name)]
        name = str(place.name)
        if place.index is not None:
            elements = self.arrays.get(name, ())
            if _number(place.index) not in range(len(elements)):
                raise Refusal(f"there is no {name}[{place.index}]", place.token)
            return [elements[_number(place.index)]]
        if name in self.arrays:
            return list(self.arrays[name])
        if name not in self.memory:
            raise Refusal(f"there is no location {name}{closest(name, self.memory)}: neither an initial value nor an instruction "
                          "names it", place.token)
        return [name]

    def _variable(self, place):
        variables = self._variables(place)
        if len(variables) > 1:
            raise Refusal(f"{place.name} is an array: name an element, {place.name}[0]", place.token)
        return variables[0]

    def _resolve(self, item, widths):
        """A condition from tree.py -> one for LitmusTest."""
        match item:
            case tree.Truth(value):
                return syntax.Truth(value)
            case tree.Negation(condition):
                return syntax.Not(self._resolve(condition, widths))
            case tree.Join("=>", (left, right)):
                return syntax.Or((syntax.Not(self._resolve(left, widths)), self._resolve(right, widths)))
            case tree.Join(sign, conditions):
                kind = syntax.And if sign == "/\\" else syntax.Or
                return kind(tuple(self._resolve(condition, widths) for condition in conditions))
            case tree.Atom(place, sign, value):
                found = self._atom(place, value, widths)
                return syntax.Not(found) if sign in ("<>", "!=") else found

    def _atom(self, place, value, widths):
        if type(value) is tuple:
            variables = self._variables(place)
            if len(variables) != len(value):
                raise Refusal(f"{place.name} has {count(len(variables), 'element')}, not {len(value)}", place.token)
            return syntax.And(tuple(self._equal(variable, item, widths) for variable, item in zip(variables, value, strict=True)))
        variable = self._variable(place)
        if isinstance(value, tree.Deref):
            return syntax.Same(self._spoken(variable), self._spoken(self._variable(value.place)))
        if isinstance(value, tree.Place):
            return syntax.Same(self._spoken(variable), self._spoken(self._variable(value)))
        return self._equal(variable, value, widths)

    def _equal(self, variable, value, widths):
        if isinstance(value, tree.Place) or value.kind in ("number", "constant"):
            number = _number(value)
            self.values.append((variable, number, value))
            return syntax.Equal(self._spoken(variable), self._sized(number, variable, value, widths))
        # A bare name is an address where addresses are expected; elsewhere it is the location's value.
        if any(widths.family(variable) == widths.family(holder) for holder in self.pointers):
            self.pointers.add(variable)
            return syntax.Equal(self._spoken(variable), self._address(value))
        place = tree.Place(value, None, value)
        return syntax.Same(self._spoken(variable), self._spoken(self._variable(place)))

    def _modes(self, threads):
        """The modes of the local APICs in which the test runs."""
        sends = any(instruction.op == "IPI" for thread in threads for instruction in thread.instructions)
        modes = tuple(syntax.Mode) if sends else ()
        for token in self.header.info:
            key, _, value = token.partition("=")
            if key.strip() != "Mode":
                continue
            value = value.strip()
            if value not in ("xapic", "x2apic", "both"):
                raise Refusal("Mode is xapic, x2apic or both", token)
            modes = tuple(syntax.Mode) if value == "both" else (syntax.Mode(value),)
        return modes


def _written(instruction):
    """The registers that an instruction writes."""
    op, operands = instruction.op, instruction.operands
    first = {"CMP": 0, "TEST": 0, "XCHG": 2, "UXCH": 2, "XADD": 2}.get(op, 1)
    # CMPXCHG writes its accumulator.
    return {operand.name for operand in operands[:first] + operands[2:] if isinstance(operand, syntax.Register)}
