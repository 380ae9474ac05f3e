"""Graphs -> C, one run at a time: every node a 64-bit word, the Tile one function that is called for every core."""

from .netlist import Graph, width_of
from .simplify import simplify

__all__ = ["Emitter", "Unit", "word_type"]


def word_type(width):
    """The narrowest unsigned type of C with this many bits."""
    return next(f"uint{size}_t" for size in (8, 16, 32, 64) if width <= size)


def _mask(width):
    return f"{(1 << width) - 1:#x}u" if width <= 32 else f"{(1 << width) - 1:#x}ull"


class _Place:
    """Where nodes are written: the body of a function, or one branch inside another place."""

    def __init__(self, parent=None):
        self.parent = parent
        self.depth = 0 if parent is None else parent.depth + 1
        self.lines = []

    def common(self, other):
        """The innermost place that both are in."""
        place = self
        while place is not other:
            if place.depth >= other.depth:
                place = place.parent
            else:
                other = other.parent
        return place


class Emitter:
    """Writes the nodes that some bits need, each once, operands first.

    What only one branch of a choice needs is written inside that branch: of an ALU's 25 operations one is computed. All bits must
    be announced (``need``) before the first value is requested.

    Parameters
    ----------
    leaf : node -> expression in C, for inputs, registers, read ports and outputs of boxes.
    row : the nodes that a "choose" chooses from -> the C expression to subscript, with one %s, if they are adjacent in an array; or
        None.
    together : the pieces that a "cat" joins -> a shorter expression for them; or None.
    """

    def __init__(self, leaf, row=lambda nodes: None, together=lambda pieces: None):
        self._leaf = leaf
        self._row = row
        self._together = together
        self._body = _Place()
        self._needed = []
        self._places = None           # node -> _Place
        self._branches = {}           # (node, number of an input) -> _Place
        self._names = {}

    def need(self, bits, place=None):
        """Announce that these bits will be requested; in a branch, if ``place`` is one."""
        assert self._places is None
        self._needed.append((bits, place or self._body))

    def branch(self):
        """A new place, for what is needed under one condition only; see ``guarded``."""
        return _Place(self._body)

    def value(self, bits):
        """An expression for bits of at most 64, valid where they are needed."""
        if self._places is None:
            self._plan()
        for node, _, _ in bits:
            if node is not None:
                self._ready(node)
        return self._text(bits)

    def local(self, name, bits):
        """Give bits a name."""
        text = self.value(bits)
        self._body.lines.append(f"const uint64_t {name} = {text};")

    def guarded(self, test, place, values):
        """Give (name, bits), needed in a branch, names whose value is valid only if the test (an expression) holds."""
        assignments = [f"    {name} = {self.value(bits)};" for name, bits in values]
        self._body.lines += [f"uint64_t {', '.join(name for name, _ in values)};", f"if ({test}) {{",
                             *("    " + line for line in place.lines), *assignments, "}"]

    def flush(self):
        """The lines written since the last call."""
        lines, self._body.lines = self._body.lines, []
        return lines

    def _plan(self):
        """Find the place of every node: the innermost one that all its uses are in."""
        order, seen = [], set()
        stack = [(node, False) for bits, _ in self._needed for node, _, _ in bits if node is not None]
        while stack:
            node, done = stack.pop()
            if done:
                order.append(node)
            elif node not in seen:
                seen.add(node)
                stack.append((node, True))
                stack.extend((item, False) for bits in node.inputs for item, _, _ in bits if item is not None and item not in seen)
        self._places = {}

        def use(bits, place):
            for item, _, _ in bits:
                if item is not None:
                    known = self._places.get(item)
                    self._places[item] = place if known is None else known.common(place)

        for bits, place in self._needed:
            use(bits, place)
        for node in reversed(order):
            here = self._places[node]
            lazy = _lazy_inputs(node)
            for number, bits in enumerate(node.inputs):
                place = here
                if number in lazy:
                    place = self._branches[node, number] = _Place(here)
                use(bits, place)

    def _ready(self, node):
        """Write what a node needs, and the node, in their places; without recursion, because netlists are deep."""
        stack = [node]
        while stack:
            top = stack[-1]
            if top in self._names:
                stack.pop()
                continue
            missing = [item for bits in top.inputs for item, _, _ in bits if item is not None and item not in self._names]
            if missing:
                stack.extend(missing)
                continue
            stack.pop()
            self._write(top)

    def _text(self, bits):
        terms, position, constant = [], 0, 0
        for node, low, width in bits:
            if node is None:
                constant |= low << position
            else:
                text = self._sliced(self._names[node], node, low, width)
                terms.append(f"({text} << {position})" if position else text)
            position += width
        if constant or not terms:
            # As wide as everything else: bits shifted out of 32 bits are not lost.
            terms.append(f"{constant:#x}ull")
        return terms[0] if len(terms) == 1 else f"({' | '.join(terms)})"

    @staticmethod
    def _sliced(text, node, low, width):
        if low:
            text = f"({text} >> {low})"
        return f"({text} & {_mask(width)})" if low + width < node.width else text

    def _write(self, node):
        lines = self._places[node].lines
        self._names[node] = name = f"v{len(self._names)}"
        if node.kind == "choose":
            lines += self._chosen(node, name)
        elif not node.inputs:
            lines.append(f"const uint64_t {name} = {self._leaf(node)};")
        elif node.kind == "cat":
            pieces = [piece for bits in node.inputs for piece in bits]
            lines.append(f"const uint64_t {name} = {self._together(pieces) or self._text(pieces)};")
        elif node.kind == "transpose":
            rows = ", ".join(self._text(bits) for bits in node.inputs)
            lines += [f"uint64_t {name}[64] = {{0}};", "{", f"    const uint64_t row[] = {{{rows}}};",
                      f"    for (int i = 0; i < {len(node.inputs)}; i++)",
                      f"        for (uint64_t w = row[i]; w; w &= w - 1) {name}[__builtin_ctzll(w)] |= 1ull << i;", "}"]
        elif node.kind == "column":
            ((whole, _, _),), ((_, number, _),) = node.inputs
            lines.append(f"const uint64_t {name} = {self._names[whole]}[{number}];")
        elif node.kind == "select":
            lines += self._choice(node, name)
        elif node.kind == "mux" and (self._branches[node, 1].lines or self._branches[node, 2].lines):
            lines += [f"uint64_t {name};", f"if ({self._text(node.inputs[0])}) {{", *self._branch(node, 1, name), "} else {",
                      *self._branch(node, 2, name), "}"]
        else:
            lines.append(f"const uint64_t {name} = {self._expression(node, [self._text(bits) for bits in node.inputs])};")

    def _branch(self, node, number, name):
        return [*("    " + line for line in self._branches[node, number].lines), f"    {name} = {self._text(node.inputs[number])};"]

    def _chosen(self, node, name):
        number, *elements = node.inputs
        index, count = self._text(number), len(elements)
        guard = "" if count == 1 << width_of(number) else f"{index} >= {count} ? 0 : "
        pieces = [bits[0] for bits in elements if len(bits) == 1]
        row = None
        if len(pieces) == count and None not in [piece[0] for piece in pieces] and len({piece[1:] for piece in pieces}) == 1:
            row = self._row([piece[0] for piece in pieces])
        if row:
            return [f"const uint64_t {name} = {self._sliced(f'({guard}{row % index})', *pieces[0])};"]
        return [f"const {word_type(node.width)} {name}_of[] = {{{', '.join(self._text(bits) for bits in elements)}}};",
                f"const uint64_t {name} = {guard}{name}_of[{index}];"]

    def _choice(self, node, name):
        """A select: a switch if it compares one value with constants, else a chain of conditions, the last one first."""
        conditions = range(1, len(node.inputs), 2)
        cases = _switch(node)
        if cases is None:
            lines = [f"uint64_t {name};"]
            for number in reversed(conditions):
                lines += [f"if ({self._text(node.inputs[number])}) {{", *self._branch(node, number + 1, name), "} else"]
            return [*lines, "{", *self._branch(node, 0, name), "}"]
        enable, value, labels = cases
        lines = [f"uint64_t {name};", f"switch ({self._text(enable)} ? {self._text(value)} : ~0ull) {{"]
        if enable == ((None, 1, 1),):
            lines[1] = f"switch ({self._text(value)}) {{"
        for number, constants in zip(conditions, labels, strict=True):
            lines += [*(f"case {constant:#x}u:" for constant in constants), *self._branch(node, number + 1, name), "    break;"]
        return [*lines, "default:", *self._branch(node, 0, name), "}"]

    @staticmethod
    def _expression(node, operands):
        kind, mask = node.kind, _mask(node.width)
        match kind:
            case "~":
                return f"~{operands[0]} & {mask}"
            case "-" if len(operands) == 1:
                return f"-{operands[0]} & {mask}"
            case "+" | "-" | "*":
                return f"({operands[0]} {kind} {operands[1]}) & {mask}"
            case "&" | "|" | "^" | "==" | "!=" | "<" | ">" | "<=" | ">=":
                return f"{operands[0]} {kind} {operands[1]}"
            case "<<":
                return f"{operands[1]} > 63 ? 0 : ({operands[0]} << {operands[1]}) & {mask}"
            case ">>":
                return f"{operands[1]} > 63 ? 0 : {operands[0]} >> {operands[1]}"
            case "b":
                return f"{operands[0]} != 0"
            case "mux":
                return f"{operands[0]} ? {operands[1]} : {operands[2]}"
            case "matches":
                tests = [f"({operands[0]} & {mask:#x}ull) == {value:#x}ull" for mask, value in node.patterns]
                return " || ".join(tests) or "0"
            case "first":
                enable, this, *rivals = operands
                return f"{enable} & {this}" + (f" & !({' | '.join(rivals)})" if rivals else "")
        raise AssertionError(kind)


def _lazy_inputs(node):
    """The operands that are needed in one case only."""
    if node.kind == "mux":
        return (1, 2)
    return (0, *range(2, len(node.inputs), 2)) if node.kind == "select" else ()


def _switch(node):
    """(enable, value, constants of each case) of a select whose conditions compare one value with different constants."""
    enable = value = None
    labels = []
    for condition in node.inputs[1::2]:
        ((test, _, _),) = condition if len(condition) == 1 else ((None, 0, 0),)
        this = ((None, 1, 1),)
        if test is not None and test.kind == "first" and len(test.inputs) == 2:
            this = test.inputs[0]
            ((test, _, _),) = test.inputs[1] if len(test.inputs[1]) == 1 else ((None, 0, 0),)
        if test is None or test.kind != "matches" or (value is not None and (test.inputs[0], this) != (value, enable)):
            return None
        enable, value = this, test.inputs[0]
        full = (1 << width_of(value)) - 1
        if any(mask != full for mask, _ in test.patterns) or width_of(value) > 32:
            return None
        labels.append([constant for _, constant in test.patterns])
    flat = [constant for constants in labels for constant in constants]
    if len(labels) < 3 or len(set(flat)) < len(flat):
        return None
    return enable, value, labels


class Unit:
    """One Graph as a struct of its state, and the text that computes a clock.

    Parameters
    ----------
    name : of the struct.  graph : the Graph.
    """

    def __init__(self, name, graph: Graph):
        self.name = name
        self.graph = graph = simplify(graph, concatenate=True)
        self._groups = _groups(graph.registers)
        self._fields = {}             # node of state -> field
        # Consecutive registers of one width are an array, in case a number chooses among them.
        self._arrays = []
        for register in graph.registers:
            if not self._arrays or self._arrays[-1][0].width != register.node.width:
                self._arrays.append([])
            self._arrays[-1].append(register.node)
        for number, nodes in enumerate(self._arrays):
            for index, node in enumerate(nodes):
                self._fields[node] = f"r{number}[{index}]"
        self.memories = {}            # MemoryInfo -> field
        for number, memory in enumerate(graph.memories):
            self.memories[memory.name] = f"m{number}"
            for port, read in enumerate(memory.reads):
                self._fields[read.node] = f"m{number}_q{port}"

    def struct(self):
        """The declaration of the state. A memory without writers is a pointer: all units share its contents."""
        lines = [f"{word_type(nodes[0].width)} r{number}[{len(nodes)}];" for number, nodes in enumerate(self._arrays)]
        reads = (read.node for memory in self.graph.memories for read in memory.reads)
        lines += [f"{word_type(node.width)} {self._fields[node]};" for node in reads]
        for number, memory in enumerate(self.graph.memories):
            kind = word_type(memory.width)
            lines.append(f"const {kind} *m{number};" if memory.constant else f"{kind} m{number}[{memory.depth}];")
        return "typedef struct {\n    " + "\n    ".join(lines) + f"\n}} {self.name};\n"

    def initial(self, pointer):
        """Statements that set all state but the memories to its value after reset."""
        lines = [f"{pointer}->{self._fields[item.node]} = {item.init:#x};" for item in self.graph.registers]
        lines += [f"{pointer}->{self._fields[read.node]} = 0;" for memory in self.graph.memories for read in memory.reads]
        return lines

    def state(self, node, pointer):
        return f"{pointer}->{self._fields[node]}"

    def row(self, nodes, pointer):
        """``row`` as Emitter takes it."""
        for number, array in enumerate(self._arrays):
            if nodes[0] in array:
                first = array.index(nodes[0])
                return f"{pointer}->r{number}[{first} + %s]" if array[first:first + len(nodes)] == nodes else None
        return None

    def needs(self):
        """All bits that ``clock`` requests."""
        for register in self.graph.registers:
            yield register.next
        for memory in self.graph.memories:
            for read in memory.reads:
                yield from (read.address, read.enable)
            if not memory.constant:
                for write in memory.writes:
                    yield from (write.address, write.data, write.enable)

    def announce(self, emitter):
        """Announce to an Emitter what ``clock`` will request."""
        self._places = [emitter.branch() for _ in self._groups]
        guarded = set()
        for (condition, _, registers), place in zip(self._groups, self._places, strict=True):
            emitter.need(condition)
            for register in registers:
                emitter.need(register.next, place)
                guarded.add(register.next)
        for bits in self.needs():
            if bits not in guarded:
                emitter.need(bits)

    def clock(self, emitter, pointer):
        """The end of the clock: computes the new state; returns the statements that store it."""
        stores = []
        names = {register: f"n{number}" for number, register in enumerate(self.graph.registers)}

        def store(register):
            return f"{self.state(register.node, pointer)} = {names.pop(register)};"

        for number, ((condition, holds, registers), place) in enumerate(zip(self._groups, self._places, strict=True)):
            emitter.local(f"g{number}", condition)
            test = f"g{number}" if holds else f"!g{number}"
            emitter.guarded(test, place, [(names[register], register.next) for register in registers])
            stores.append(f"if ({test}) {{ {' '.join(map(store, registers))} }}")
        for register in list(names):
            if register.next != ((register.node, 0, register.node.width),):
                emitter.local(names[register], register.next)
                stores.append(store(register))
        for number, memory in enumerate(self.graph.memories):
            writes = []
            for port, write in enumerate(memory.writes):
                if memory.constant:
                    continue
                names = [f"w{number}_{port}_{part}" for part in "ade"]
                for name, bits in zip(names, (write.address, write.data, write.enable), strict=True):
                    emitter.local(name, bits)
                writes.append(names)
            for port, read in enumerate(memory.reads):
                field, address = self._fields[read.node], f"a{number}_{port}"
                emitter.local(address, read.address)
                emitter.local(f"e{number}_{port}", read.enable)
                within = "" if memory.depth == 1 << width_of(read.address) else f"{address} < {memory.depth} ? "
                value = f"{within}{pointer}->m{number}[{address}]" + (" : 0" if within else "")
                lines = [f"uint64_t q = {value};"]
                for seen in read.transparent:
                    where, data, enable = writes[seen]
                    lines.append(f"if ({where} == {address}) q = (q & ~{enable}) | ({data} & {enable});")
                stores.append(f"if (e{number}_{port}) {{ {' '.join(lines)} {pointer}->{field} = q; }}")
            for where, data, enable in writes:
                cell = f"{pointer}->m{number}[{where}]"
                inside = "" if memory.depth == 1 << width_of(memory.writes[0].address) else f" && {where} < {memory.depth}"
                stores.append(f"if ({enable}{inside}) {cell} = ({cell} & ~{enable}) | ({data} & {enable});")
        return stores



#: From this many registers on, one test is cheaper than computing what each of them keeps.
_GROUP = 8


def _groups(registers):
    """Registers that keep their value unless a condition holds: (condition, whether it must hold or must not, registers), each
    register in at most one group."""
    found = {}
    for register in registers:
        for guard in _guards(register.next, ((register.node, 0, register.node.width),)) or ():
            found.setdefault(guard, []).append(register)
    groups, done = [], set()
    for (condition, holds), members in sorted(found.items(), key=lambda item: -len(item[1])):
        members = [register for register in members if register not in done]
        if len(members) >= _GROUP:
            groups.append((condition, holds, members))
            done.update(members)
    return groups


def _guards(bits, kept):
    """What must be true if ``bits`` are not ``kept``: (condition, whether it holds), as the keys of a dict, so that the same graph
    gives the same text; None if they are the same."""
    if bits == kept:
        return None
    node = bits[0][0] if len(bits) == 1 else None
    if node is None or node.kind not in ("mux", "select") or bits != ((node, 0, node.width),):
        return {}
    if node.kind == "mux":
        condition, yes, no = node.inputs
        cases = [(_implied(condition), yes), ({(condition, False): None}, no)]
    else:
        cases = [({}, node.inputs[0])]
        cases += [(_implied(condition), value) for condition, value in zip(node.inputs[1::2], node.inputs[2::2], strict=True)]
    known = [guards | inner for guards, value in cases if (inner := _guards(value, kept)) is not None]
    return {guard: None for guard in known[0] if all(guard in others for others in known)} if known else None


def _implied(condition):
    """What is true if a condition holds; as in ``_guards``."""
    result, stack = {}, [condition]
    while stack:
        bits = stack.pop()
        result[bits, True] = None
        node = bits[0][0] if len(bits) == 1 else None
        if node is not None and node.width == 1 and (node.kind == "&" or node.kind == "first"):
            stack += node.inputs[:2]
    return result
