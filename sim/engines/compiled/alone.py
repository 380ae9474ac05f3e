"""One component by itself as scalar C: a board in simulation, and the random components of the tests."""

from typing import NamedTuple

from .netlist import build_graph, limbs
from .scalar import Emitter, Unit

__all__ = ["Alone", "alone"]


class Alone(NamedTuple):
    """The C text of a component.

    text : the struct ``KIND`` with its state, ``KIND_start(KIND *u)``, and ``KIND_step(KIND *u, in, out)``, which reads the inputs
        of a clock, writes the outputs of that clock, and advances to the next one.
    inputs : of each word of ``in``: (port, low bit, width).
    outputs : of each word of ``out``: (port, low bit). Ports wider than 64 bits have several words.
    """

    text: str
    inputs: tuple[tuple[str, int, int], ...]
    outputs: tuple[tuple[str, int], ...]


def alone(component, kind):
    """The Alone of a component without black boxes. kind : the name of its struct in C."""
    graph = build_graph(component, indexed=True)
    unit = Unit(kind, graph)
    inputs = [node for nodes in graph.inputs.values() for node in nodes]
    slots = {node.name: number for number, node in enumerate(inputs)}
    emitter = Emitter(lambda node: f"in[{slots[node.name]}]" if node.kind == "input" else unit.state(node, "u"),
                      lambda nodes: unit.row(nodes, "u"))
    words = [(name, 64 * number, limb) for name, bits in graph.outputs.items() for number, limb in enumerate(limbs(bits))]
    for _, _, limb in words:
        emitter.need(limb)
    unit.announce(emitter)
    told = [f"out[{number}] = {emitter.value(limb)};" for number, (_, _, limb) in enumerate(words)]
    stores = unit.clock(emitter, "u")
    text = "\n".join([
        "#include <stdint.h>", "#include <string.h>", unit.struct(),
        f"void {kind}_start({kind} *u) {{", "memset(u, 0, sizeof *u);", *unit.initial("u"), *_filled(graph, unit), "}",
        f"void {kind}_step({kind} *u, const uint64_t *in, uint64_t *out) {{", *emitter.flush(), *told, *stores, "}", "",
    ])
    return Alone(text, tuple((*node.name, node.width) for node in inputs), tuple((name, low) for name, low, _ in words))


def _filled(graph, unit):
    """Statements that give each memory its initial contents; the struct is already 0."""
    for memory in graph.memories:
        field = unit.memories[memory.name]
        if memory.constant:
            words = ", ".join(f"{word:#x}ull" for word in memory.init)
            yield f"static const __typeof__(*u->{field}) {field}[] = {{ {words} }}; u->{field} = {field};"
        else:
            yield from (f"u->{field}[{row}] = {word:#x}ull;" for row, word in enumerate(memory.init) if word)
