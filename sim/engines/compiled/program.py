"""The C program of one machine: one function for the Tile, used by every core, and one for everything else.

A clock of the machine is: the outputs of the Tiles that depend on their state alone; the shared part up to the Tiles' inputs; every
Tile; the rest of the shared part; the new state. A rule of the design makes this possible (Shared uses only functions of state
within a clock); it is checked here, and a shared part that needs more is refused. What exists once is scalar code; for what is
repeated see repeated.py.
repeated see repeated.py.
"""

import re

from rtl.check.core_monitor import CoreMonitor
from rtl.rig import Rig
from rtl.tile import Tile
from sim.ports import Boxed

from .netlist import LIMIT, UnknownCellError, build_graph, cut, width_of
from .repeated import OneByOne, SideBySide, offsets, store
from .scalar import Emitter, Unit
from .vector import indent, preface

__all__ = ["LOAD_TIED", "boxed_rig", "program"]

#: The load ports are not used: contents come through the back door.
LOAD_TIED = {"load__valid": 0, "load__microcode": 0, "load__address": 0, "load__data": 0}


def boxed_rig(config, room):
    """(a Rig with black boxes in place of its parts per core; what is behind them, as ``units`` of ``program``)."""
    tile, monitor = Tile(config), CoreMonitor(config, room)
    rig = Rig(config, tile=lambda _: Boxed(tile.signature, "tile"), room=room,
              core_monitor=lambda *_: Boxed(monitor.signature, "monitor"))
    return rig, {"tile": (tile, {"load_valid": 0, "load_address": 0, "load_word": 0}), "monitor": (monitor, {})}


_PREFACE = """\
#include <stddef.h>
#include <stdint.h>
#include <string.h>

"""

_DRIVER = """\
/* What is asked for, and the place in it that is used: vectors begin at multiples of 64. */
size_t machine_size(void) { return sizeof(Machine) + 64; }
static inline Machine *machine_in(void *state) { return (Machine *)(((uintptr_t)state + 63) & ~(uintptr_t)63); }

void machine_reset(void *state) {
    Machine *m = machine_in(state);
    memset(m, 0, sizeof *m);
%(reset)s
}

int64_t machine_fill(void *state, int which, const uint64_t *words, int64_t count) {
    Machine *m = machine_in(state);
    int64_t row;
    for (row = 0; row < count; row++) switch (which) {
%(fill)s
    default: return row;
    }
    return row;
}

int64_t machine_read(void *state, int which, uint64_t *words, int64_t count) {
    Machine *m = machine_in(state);
    int64_t row;
    for (row = 0; row < count; row++) switch (which) {
%(read)s
    default: return row;
    }
    return row;
}

/* Runs until `clocks` have passed, the machine is quiet or trapped, or a buffer is full; returns how many clocks it ran. */
int64_t machine_run(void *state, Control *c, int64_t clocks) {
    Machine *m = machine_in(state);
    int64_t ran = 0;
    while (ran < clocks) {
        if (c->traced && (c->used + %(room)d > c->room || (c->probes && c->probe_used + %(limbs)d > c->probe_room))) break;
        step(m, c);
        ran++;
        if (c->quiet | c->trapped) break;
    }
    return ran;
}
"""


def program(units, machine, sources, *, tied, lanes=0):
    """The text of the program and what a loader needs to know about it.

    machine : a Rig with black boxes in place of its Tiles and of whatever else is repeated.  tied : input port of it -> constant.
    units : what is behind the boxes: kind -> (component, input port of it -> constant), in the order in which they run: the inputs
        of one may depend on outputs of earlier ones in the same clock. The first is the Tile.
    lanes : of a vector, to put the repeated units side by side; or 0.
    sources : (offset, width) of each record in the port ``trace``.
    Returns (text, inputs): the input words in the order of Control's, as (port, low, width).
    """
    top = Unit("Top", build_graph(machine, tied=tied, indexed=True))
    kinds = []
    for name, (component, constants) in units.items():
        boxes = [box for box in top.graph.boxes if box.kind == name]
        kinds.append(SideBySide(name, component, constants, boxes, others=kinds, lanes=lanes) if lanes
                     else OneByOne(name, component, constants, boxes))

    inputs = [(name, node.name[1], node.width) for name, nodes in top.graph.inputs.items() for node in nodes]
    slots = {(name, low): number for number, (name, low, _) in enumerate(inputs)}
    probe_limbs, schedule_limbs, flags_limbs = (
        len(offsets(width_of(top.graph.outputs[name]))) for name in ("probe", "schedule", "flags"))
    room = 1 + schedule_limbs + sum(1 + len(offsets(width)) for _, width in sources)

    asked_for = _asked_for(top)
    text = [_PREFACE, *([preface(lanes)] if lanes else []), top.struct()]
    text += [kind.declarations(asked_for[kind.name]) for kind in kinds]
    # The vectors come first, since they need alignment. Something must follow each memory, see gather().
    fields = [*(field for kind in kinds for field in kind.fields()), "Top top;"]
    text.append(f"typedef struct {{\n{indent(fields)}\n}} Machine;\n")
    text.append(
        "typedef struct {\n"
        f"    uint64_t input[{max(1, len(inputs))}];\n"
        "    uint64_t clock;\n"
        "    uint64_t quiet, trapped;\n"
        "    int64_t traced;\n"
        "    uint64_t *records; int64_t used, room;\n"
        f"    int64_t recorded; uint64_t schedule[{schedule_limbs}], flags[{flags_limbs}];\n"
        "    uint64_t *probes; int64_t probe_used, probe_room;\n"
        "} Control;\n")
    text.append(_step_function(top, kinds, slots, sources))
    banks = _banks(top)
    fill = [kinds[0].fill(), *(f"if (row >= {depth}) return row; {place} = words[row];" for place, depth in banks)]
    text.append(_DRIVER % {
        "reset": indent([*top.initial("(&m->top)"), *(line for kind in kinds for line in kind.initial())]),
        "fill": indent([f"case {number}: {statement} break;" for number, statement in enumerate(fill)], 2),
        "read": indent([f"case {number}: if (row >= {depth}) return row; words[row] = {place}; break;"
                        for number, (place, depth) in enumerate(banks, 1)], 2),
        "room": room,
        "limbs": probe_limbs,
    })
    return "\n".join(text), inputs


def _banks(top):
    """(the place in C, with ``row``; the number of rows) of each bank of the arena."""
    banks = {}
    for memory in top.graph.memories:
        banks[int(re.search(r"bank(\d+)", memory.name)[1])] = f"m->top.{top.memories[memory.name]}[row]", memory.depth
    return [banks[number] for number in sorted(banks)]


def _asked_for(top):
    """Kind -> the outputs of its boxes that the machine itself needs; the others are only observed."""
    outputs = top.graph.outputs
    stack = [node for bits in (*top.needs(), *(bits for box in top.graph.boxes for bits in box.inputs.values()),
                               outputs["quiet"], outputs["trapped"])
             for node, _, _ in bits if node is not None]
    seen, ports = set(stack), {box.kind: set() for box in top.graph.boxes}
    while stack:
        node = stack.pop()
        if node.kind == "box":
            ports[top.graph.boxes[node.name[0]].kind].add(node.name[1])
        for bits in node.inputs:
            for item, _, _ in bits:
                if item is not None and item not in seen:
                    seen.add(item)
                    stack.append(item)
    return ports


def _step_function(top, kinds, slots, sources):
    """``step``: one clock of the machine."""
    ran = set()                       # kinds whose outputs are all valid
    places = {number: (kind, index) for kind in kinds for index, number in enumerate(kind.numbers)}

    def leaf(node):
        if node.kind == "input":
            return f"c->input[{slots[node.name]}]"
        if node.kind == "box":
            number, port, low = node.name
            kind, index = places[number]
            if port not in kind.early and kind not in ran:
                raise UnknownCellError(f"the shared part needs {port} of a {kind.name} in the same clock to give it its inputs")
            return kind.output(index, port, low)
        return top.state(node, "(&m->top)")

    def all_boxes(nodes):
        """(kind, port, low) if these are one word of one output of all boxes of a kind, or of its first boxes, one by one."""
        if nodes[0].kind != "box":
            return None
        number, port, low = nodes[0].name
        kind, _ = places[number]
        here = [node.name for node in nodes] == [(number, port, low) for number in kind.numbers[:len(nodes)]]
        return (kind, port, low) if here and (port in kind.early or kind in ran) else None

    def row(nodes):
        if nodes[0].kind != "box":
            return top.row(nodes, "(&m->top)")
        there = all_boxes(nodes)
        return there and there[0].output("%s", *there[1:])

    def together(pieces):
        _, bit, _ = pieces[0]
        there = all(node is not None and (low, width) == (bit, 1) for node, low, width in pieces) \
            and all_boxes([node for node, _, _ in pieces])
        return there[0].together(*there[1:], bit) if there and len(pieces) == there[0].count else None

    trace, outputs = top.graph.outputs["trace"], top.graph.outputs
    emitter = Emitter(leaf, row, together)
    for bits in (*(bits for box in top.graph.boxes for bits in box.inputs.values()),
                 *(outputs[name] for name in ("quiet", "trapped", "trace", "probe", "schedule", "flags"))):
        emitter.need(bits)
    top.announce(emitter)
    body = [kind.begin() for kind in kinds]
    for kind in kinds:
        given = kind.give(emitter)
        body += [*emitter.flush(), *given, kind.run()]
        ran.add(kind)

    stores = top.clock(emitter, "(&m->top)")
    stores += [f"c->{name} = {emitter.value(outputs[name])};" for name in ("quiet", "trapped")]
    body += emitter.flush()
    observed = []
    for index, (offset, width) in enumerate(sources):
        valid = emitter.value(cut(trace, offset, 1))
        words = store(emitter, lambda low: f"r[{low // LIMIT + 1}]", cut(trace, offset, width))
        observed += [*emitter.flush(), f"if ({valid}) {{",
                     f"    uint64_t *r = c->records + c->used; r[0] = c->clock << 16 | {index};",
                     *("    " + line for line in words), f"    c->used += {1 + len(words)};", "}"]
    in_force = store(emitter, lambda low: f"s[{low // LIMIT}]", outputs["schedule"])
    flags = store(emitter, lambda low: f"c->flags[{low // LIMIT}]", outputs["flags"])
    observed += [*emitter.flush(), *flags, "if (c->recorded) {", f"    uint64_t s[{len(in_force)}];",
                 *("    " + line for line in in_force),
                 "    if (memcmp(s, c->schedule, sizeof s)) {",
                 f"        uint64_t *r = c->records + c->used; r[0] = c->clock << 16 | {len(sources)};",
                 "        memcpy(c->schedule, s, sizeof s); memcpy(r + 1, s, sizeof s);",
                 f"        c->used += {1 + len(in_force)};", "    }", "}"]
    probe = store(emitter, lambda low: f"p[{low // LIMIT}]", outputs["probe"])
    observed += ["if (c->probes) {", "    uint64_t *p = c->probes + c->probe_used;", *("    " + line for line in emitter.flush()),
                 *("    " + line for line in probe), f"    c->probe_used += {len(probe)};", "}"]
    return "\n".join([
        "static void step(Machine *m, Control *c) {", indent(body), "    if (c->traced) {", indent(observed, 2), "    }",
        indent(stores), "    c->clock++;", "}", "",
    ])
