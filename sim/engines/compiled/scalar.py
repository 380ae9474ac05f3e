"""Graphs -> C, one run at a time: every node a 64-bit word, the Tile one function that is called for every core."""

from .netlist import Graph, width_of

__all__ = ["Emitter", "Unit", "word_type"]


def word_type(width):
    """The narrowest unsigned type of C that holds so many bits."""
    return next(f"uint{size}_t" for size in (8, 16, 32, 64) if width <= size)


def _mask(width):
    return f"{(1 << width) - 1:#x}u" if width <= 32 else f"{(1 << width) - 1:#x}ull"


class Emitter:
    """Writes the nodes that some bits need, each once, in an order in which operands come first.

    Parameters
    ----------
    leaf : node -> expression in C, for inputs, registers, read ports and outputs of boxes.
    """

    def __init__(self, leaf):
        self._leaf = leaf
        self._names = {}
        self.lines = []

    def value(self, bits):
        """An expression for bits of at most 64."""
        terms, position, constant = [], 0, 0
        for node, low, width in bits:
            if node is None:
                constant |= low << position
            else:
                text = self._node(node)
                if low:
                    text = f"({text} >> {low})"
                if low + width < node.width:
                    text = f"({text} & {_mask(width)})"
                terms.append(f"({text} << {position})" if position else text)
            position += width
        if constant or not terms:
            terms.append(f"{constant:#x}ull" if constant >> 32 else f"{constant:#x}u")
        return terms[0] if len(terms) == 1 else f"({' | '.join(terms)})"

    def local(self, name, bits):
        """Give bits a name of their own."""
        self.lines.append(f"const uint64_t {name} = {self.value(bits)};")

    def _node(self, node):
        """The name of a node's value; what it needs is written first, without recursion: netlists are deep."""
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
        return self._names[node]

    def _write(self, node):
        if not node.inputs:
            self._names[node] = name = f"v{len(self._names)}"
            self.lines.append(f"const uint64_t {name} = {self._leaf(node)};")
            return
        name = f"v{len(self._names)}"
        if node.kind == "select":
            # The last condition that holds wins, so it is asked first.
            default, *pairs = node.inputs
            text = self.value(default)
            for condition, value in zip(pairs[::2], pairs[1::2], strict=True):
                text = f"{self.value(condition)} ? {self.value(value)} :\n    {text}"
        else:
            text = self._expression(node, [self.value(bits) for bits in node.inputs])
        self._names[node] = name
        self.lines.append(f"const uint64_t {name} = {text};")

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


class Unit:
    """One Graph as a struct of its state, and the text that computes a clock.

    Parameters
    ----------
    name : of the struct.  graph : the Graph.
    """

    def __init__(self, name, graph: Graph):
        self.name = name
        self.graph = graph
        self._fields = {}             # node of state -> field
        for number, register in enumerate(graph.registers):
            self._fields[register.node] = f"r{number}"
        self.memories = {}            # MemoryInfo -> field
        for number, memory in enumerate(graph.memories):
            self.memories[memory.name] = f"m{number}"
            for port, read in enumerate(memory.reads):
                self._fields[read.node] = f"m{number}_q{port}"

    def struct(self):
        """The declaration of the state. A memory that nothing writes is a pointer: all units share its contents."""
        lines = [f"{word_type(node.width)} {name};" for node, name in self._fields.items()]
        for number, memory in enumerate(self.graph.memories):
            kind = word_type(memory.width)
            lines.append(f"const {kind} *m{number};" if memory.constant else f"{kind} m{number}[{memory.depth}];")
        return f"typedef struct {{\n    " + "\n    ".join(lines) + f"\n}} {self.name};\n"

    def initial(self, pointer):
        """Statements that set all state but the memories to its value after reset."""
        lines = [f"{pointer}->{self._fields[item.node]} = {item.init:#x};" for item in self.graph.registers]
        lines += [f"{pointer}->{self._fields[read.node]} = 0;" for memory in self.graph.memories for read in memory.reads]
        return lines

    def state(self, node, pointer):
        return f"{pointer}->{self._fields[node]}"

    def holds(self, node):
        return node in self._fields

    def early(self):
        """Names of the outputs that are functions of state alone."""
        names, known = set(), {}
        for name, bits in self.graph.outputs.items():
            if not any(self._asks_input(node, known) for node, _, _ in bits if node is not None):
                names.add(name)
        return names

    def _asks_input(self, node, known):
        stack = [node]
        while stack:
            top = stack[-1]
            if top in known:
                stack.pop()
            elif not top.inputs:
                known[top] = top.kind in ("input", "box")
                stack.pop()
            else:
                operands = [item for bits in top.inputs for item, _, _ in bits if item is not None]
                missing = [item for item in operands if item not in known]
                if missing:
                    stack.extend(missing)
                else:
                    known[top] = any(known[item] for item in operands)
                    stack.pop()
        return known[node]

    def clock(self, emitter, pointer):
        """The end of the clock: (statements that compute what the state becomes, statements that store it)."""
        stores = []
        for register in self.graph.registers:
            field = self._fields[register.node]
            if register.next != ((register.node, 0, register.node.width),):
                emitter.local(f"n_{field}", register.next)
                stores.append(f"{pointer}->{field} = n_{field};")
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

