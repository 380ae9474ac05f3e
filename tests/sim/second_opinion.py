"""A second opinion on what a memory model allows, by axioms instead of by running: which store each load reads, and in which order
the stores of each location become visible, so that no rule is broken. It shares with ``sim/litmus/models.py``
nothing but the reader. For threads without jumps, whose instructions are moves, exchanges and fences."""

from itertools import permutations, product

from sim.litmus.models import Model
from sim.litmus.syntax import Constant, Location, Register

__all__ = ["outcomes"]


def _acyclic(edges):
    edges, nodes = set(edges), {node for edge in edges for node in edge}
    while nodes:
        free = nodes - {target for _, target in edges}
        if not free:
            return False
        nodes -= free
        edges = {edge for edge in edges if edge[0] not in free}
    return True


def outcomes(test, model):
    """Every final state, as the values of ``test.observed``. KeyError if the test has other instructions."""
    # Events: (thread, place in it, "R" or "W", location). The start values are stores of no thread.
    events, source, targets, fences, pairs = [], {}, {}, [], []
    for thread, column in enumerate(test.threads):
        for place, instruction in enumerate(column.instructions):
            operands = instruction.operands
            if instruction.op == "MFENCE":
                fences.append((thread, place))
                continue
            if instruction.op not in ("MOV", "XCHG") or column.labels:
                raise KeyError(instruction.text)
            location = next((operand.name for operand in operands if isinstance(operand, Location)), None)
            read, write = (thread, place, "R", location), (thread, place, "W", location)
            other = next((operand for operand in operands[::-1] if not isinstance(operand, Location)), None)
            if location is None:
                targets[thread, place] = operands[0].name, operands[1]
            elif instruction.op == "XCHG" or isinstance(operands[0], Register):
                events.append(read)
                targets[read] = other.name if instruction.op == "XCHG" else operands[0].name
            if location is not None and (instruction.op == "XCHG" or isinstance(operands[0], Location)):
                events.append(write)
                source[write] = other
            if instruction.op == "XCHG":
                pairs.append((read, write))
    reads, writes = ([event for event in events if event[2] == kind] for kind in "RW")
    start = {name: (None, -1, "W", name) for name in test.memory}
    at = {name: [write for write in writes if write[3] == name] for name in test.memory}
    atomic = {event for pair in pairs for event in pair}
    po = [(one, two) for one in events for two in events if one[0] == two[0] and (one[1], one[2]) < (two[1], two[2])]

    def kept(one, two):
        """Whether program order is also the order in which others see the two."""
        fenced = any(one[0] == thread and one[1] < place < two[1] for thread, place in fences)
        if model is Model.SC or fenced or {one, two} & atomic:
            return True
        return one[2] == "R" or two[2] == "W" and (model is Model.TSO or one[3] == two[3])

    found = set()
    for order in product(*(permutations(at[name]) for name in test.memory)):
        co = {write: number for name, stores in zip(test.memory, order, strict=True)
              for number, write in enumerate((start[name], *stores))}
        before = [(one, two) for one in co for two in co if one[3] == two[3] and co[one] < co[two]]
        for choice in product(*([start[read[3]], *at[read[3]]] for read in reads)):
            rf = dict(zip(reads, choice, strict=True))
            fr = [(read, two) for read, write in rf.items() for two in co if two[3] == write[3] and co[two] > co[write]]
            rfe = [(write, read) for read, write in rf.items() if write[0] != read[0]]
            own = [(write, read) for read, write in rf.items() if write[0] == read[0]]
            if any(co[write] != co[rf[read]] + 1 for read, write in pairs):
                continue
            here = [(one, two) for one, two in po if one[3] == two[3]]
            if not _acyclic([*here, *before, *fr, *rfe, *own]) or not _acyclic(
                    [*((one, two) for one, two in po if kept(one, two)), *before, *fr, *rfe]):
                continue
            found.add(_values(test, targets, source, rf, co))
    return found


def _values(test, targets, source, rf, co):
    """Follows values from store to load until all are known; a load comes after what it reads, or the order had a cycle."""
    value = {(None, -1, "W", name): number for name, number in test.memory.items()}
    while True:
        registers = {(thread, name): number for thread, column in enumerate(test.threads)
                     for name, number in test.registers[column.name].items()}
        for thread, column in enumerate(test.threads):
            for place in range(len(column.instructions)):
                for write in (write for write in source if write[:2] == (thread, place)):
                    taken = source[write]
                    value[write] = taken.value if isinstance(taken, Constant) else registers[thread, taken.name]
                if (thread, place) in targets:
                    name, taken = targets[thread, place]
                    registers[thread, name] = taken.value if isinstance(taken, Constant) else registers[thread, taken.name]
                for read in (read for read in rf if read[:2] == (thread, place)):
                    registers[thread, targets[read]] = value.get(rf[read])
        if None not in registers.values():
            break
    last = {event[3]: value[event] for event in sorted(co, key=co.get)}
    return tuple(last[name] if ":" not in name else registers[int(name.partition(":")[0]), name.partition(":")[2]]
                 for name in test.observed)
