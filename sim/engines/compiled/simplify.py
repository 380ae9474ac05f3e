"""An equal, smaller graph: constants folded, equal nodes merged, repeated conditions resolved."""

from .netlist import LIMIT, Graph, MemoryInfo, Node, ReadPort, Register, WritePort, cut, width_of

__all__ = ["simplify"]

_ONE = ((None, 1, 1),)
_ZERO = ((None, 0, 1),)


def simplify(graph, *, concatenate=False):
    """An equal Graph; the nodes of inputs, registers, read ports and boxes stay what they are.

    concatenate : operands that join several nodes become nodes, so that equal ones are joined once: of the kind "cat" (its inputs
        one above the other), or, where bits number t of many values are joined, "column" (the inputs are a node of the kind
        "transpose", whose inputs are the values, and t).
    """
    return _Simplifier(concatenate).graph(graph)


#: This many values of at least this many bits are transposed at once: a crossbar does so, with few bits set.
_MANY = 8


def _constant(bits):
    """The value of bits that are constant, or None."""
    value = position = 0
    for node, low, width in bits:
        if node is not None:
            return None
        value |= low << position
        position += width
    return value


def _const(value, width):
    return ((None, value & (1 << width) - 1, width),)


def _only(bits):
    """The node whose whole value these bits are, or None."""
    if len(bits) == 1 and bits[0][0] is not None and bits[0][1:] == (0, bits[0][0].width):
        return bits[0][0]
    return None


class _Simplifier:
    def __init__(self, concatenate):
        self.concatenate = concatenate
        self.known = {}               # (kind, width, inputs, patterns) -> the bits that it is
        self.done = {}                # node -> the bits that replace it

    # --- the whole graph ----------------------------------------------------------------------------------------------

    def graph(self, graph):
        for box in graph.boxes:
            box.inputs = {name: self.rewrite(bits) for name, bits in box.inputs.items()}
        return Graph(
            inputs=graph.inputs,
            outputs={name: self.rewrite(bits) for name, bits in graph.outputs.items()},
            registers=[Register(item.node, item.init, self.operand(item.next)) for item in graph.registers],
            memories=[self.memory(memory) for memory in graph.memories],
            boxes=graph.boxes,
        )

    def memory(self, memory):
        return MemoryInfo(
            memory.name, memory.width, memory.depth, memory.init,
            [WritePort(*(self.operand(bits) for bits in (port.address, port.data, port.enable))) for port in memory.writes],
            [ReadPort(port.node, self.operand(port.address), self.operand(port.enable), port.transparent) for port in memory.reads],
        )

    def operand(self, bits):
        bits = self.rewrite(bits)
        if self.concatenate and sum(node is not None for node, _, _ in bits) > 1:
            _, place, _ = bits[0]
            nodes = [node for node, low, width in bits
                     if node is not None and (low, width) == (place, 1) and node.width >= _MANY and node.kind != "box"]
            if len(bits) >= _MANY and len(set(nodes)) == len(bits):
                whole = self.node("transpose", LIMIT, tuple(((node, 0, node.width),) for node in nodes))
                return self.node("column", len(bits), (whole, _const(place, LIMIT)))
            return self.node("cat", width_of(bits), tuple((piece,) for piece in bits))
        return bits

    def rewrite(self, bits):
        """The bits that replace these."""
        for node, _, _ in bits:
            if node is not None and node not in self.done:
                self.visit(node)
        pieces = []
        for node, low, width in bits:
            for piece in ((None, low, width),) if node is None else cut(self.done[node], low, width):
                if pieces:
                    before, start, size = pieces[-1]
                    if before is piece[0] is None:
                        pieces[-1] = (None, start | piece[1] << size, size + piece[2])
                        continue
                    if before is piece[0] and start + size == piece[1]:
                        pieces[-1] = (before, start, size + piece[2])
                        continue
                pieces.append(piece)
        return tuple(pieces)

    def visit(self, node):
        """Rewrite a node and its operands; without recursion, because netlists are deep."""
        stack = [node]
        while stack:
            top = stack[-1]
            if top in self.done:
                stack.pop()
                continue
            missing = [item for bits in top.inputs for item, _, _ in bits if item is not None and item not in self.done]
            if missing:
                stack.extend(missing)
                continue
            stack.pop()
            self.done[top] = self.fold(top) if top.inputs else ((top, 0, top.width),)

    # --- one node -----------------------------------------------------------------------------------------------------

    def node(self, kind, width, inputs, patterns=()):
        key = kind, width, inputs, patterns
        if key not in self.known:
            node = Node(kind, width, inputs, patterns)
            self.known[key] = self.done[node] = ((node, 0, width),)
        return self.known[key]

    def fold(self, node):
        inputs, width = [self.operand(bits) for bits in node.inputs], node.width
        match node.kind:
            case "mux":
                return self.mux(width, *inputs)
            case "select":
                return self.select(width, inputs[0], list(zip(inputs[1::2], inputs[2::2], strict=True)))
            case "~":
                return self.invert(width, *inputs)
            case "b":
                return self.boolean(*inputs)
            case "matches":
                return self.matches(inputs[0], node.patterns)
            case "first":
                return self.first(*inputs)
            case "&" | "|" | "^" as kind:
                return self.bitwise(kind, width, *inputs)
            case "==" | "!=" as kind:
                return self.compare(kind, *inputs)
            case "+" | "-" as kind if len(inputs) == 2 and _constant(inputs[1]) == 0:
                return inputs[0]
            case "<<" | ">>" as kind if _constant(inputs[1]) is not None:
                return self.shift(kind, width, inputs[0], _constant(inputs[1]))
        return self.node(node.kind, width, tuple(inputs), node.patterns)

    def mux(self, width, condition, yes, no):
        value = _constant(condition)
        if value is not None:
            return yes if value else no
        test = _only(condition)
        if test is not None and test.kind == "~":
            condition, yes, no = test.inputs[0], no, yes
        # A branch knows the conditions that led to it.
        inner = _only(yes)
        if inner is not None and inner.kind == "mux" and inner.inputs[0] == condition:
            yes = inner.inputs[1]
        inner = _only(no)
        if inner is not None and inner.kind == "mux" and inner.inputs[0] == condition:
            no = inner.inputs[2]
        if yes == no:
            return yes
        if width == 1 and (_constant(yes), _constant(no)) == (1, 0):
            return condition
        if width == 1 and (_constant(yes), _constant(no)) == (0, 1):
            return self.invert(1, condition)
        return self.node("mux", width, (condition, yes, no))

    def select(self, width, default, cases):
        kept = []
        for condition, value in cases:
            always = _constant(condition)
            if always:
                default, kept = value, []
            elif always is None and (kept or value != default):
                kept.append((condition, value))
        if len(kept) < 3:
            for condition, value in kept:
                default = self.mux(width, condition, value, default)
            return default
        return self.node("select", width, (default, *(bits for case in kept for bits in case)))

    def invert(self, width, bits):
        value, inner = _constant(bits), _only(bits)
        if value is not None:
            return _const(~value, width)
        if inner is not None and inner.kind == "~":
            return inner.inputs[0]
        return self.node("~", width, (bits,))

    def boolean(self, bits):
        if any(node is None and low for node, low, _ in bits):
            return _ONE
        bits = tuple(piece for piece in bits if piece[0] is not None)
        if not bits:
            return _ZERO
        return bits if width_of(bits) == 1 else self.node("b", 1, (self.operand(bits),))

    def matches(self, value, patterns):
        number = _constant(value)
        if number is not None:
            return _const(any(number & mask == wanted for mask, wanted in patterns), 1)
        if any(mask == 0 for mask, _ in patterns):
            return _ONE
        if not patterns:
            return _ZERO
        if width_of(value) == 1:
            wanted = {wanted for _, wanted in patterns}
            return _ONE if len(wanted) == 2 else value if wanted == {1} else self.invert(1, value)
        return self.node("matches", 1, (value,), patterns)

    def first(self, enable, this, *rivals):
        rivals = tuple(rival for rival in rivals if _constant(rival) != 0)
        if 0 in (_constant(enable), _constant(this)) or any(_constant(rival) for rival in rivals):
            return _ZERO
        if not rivals and _constant(enable):
            return this
        if not rivals and _constant(this):
            return enable
        return self.node("first", 1, (enable, this, *rivals))

    def bitwise(self, kind, width, left, right):
        if _constant(left) is not None:
            left, right = right, left
        ones = (1 << width) - 1
        first, second = _constant(left), _constant(right)
        if first is not None:
            return _const({"&": first & second, "|": first | second, "^": first ^ second}[kind], width)
        if second == 0:
            return right if kind == "&" else left
        if second == ones:
            return {"&": left, "|": right}.get(kind) or self.invert(width, left)
        if left == right:
            return _const(0, width) if kind == "^" else left
        return self.node(kind, width, (left, right))

    def compare(self, kind, left, right):
        if _constant(left) is not None:
            left, right = right, left
        first, second = _constant(left), _constant(right)
        equal = kind == "=="
        if first is not None or left == right:
            return _const((first == second) == equal, 1)
        if second is not None and width_of(left) == 1:
            return left if bool(second) == equal else self.invert(1, left)
        return self.node(kind, 1, (left, right))

    def shift(self, kind, width, bits, by):
        size = width_of(bits)
        if kind == ">>":
            kept = cut(bits, by, max(0, size - by))
        else:
            kept = (*(_const(0, by) if by else ()), *cut(bits, 0, max(0, width - by)))
        kept = cut(kept, 0, width)
        missing = width - width_of(kept)
        return self.rewrite((*kept, *(_const(0, missing) if missing else ())))
