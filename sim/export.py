"""Parts of the machine as Verilog, with a list of their ports, for people whose flow is not Amaranth."""

import re
from dataclasses import replace
from inspect import getdoc
from pathlib import Path

from rtl.apic.local_apic import LocalApic
from rtl.machine import Machine
from rtl.shared import Shared
from rtl.tile import Tile
from sim.errors import InputError
from sim.files import write_together
from sim.ports import flat_ports
from sim.runs.settings import MACHINE_SETTINGS, TEXT_SETTINGS, constants
from sim.spelling import closest
from sim.verilog import component_verilog, hollow

__all__ = ["PARTS", "export", "port_list", "with_assignments"]

#: What can be exported, by the name of its module.
PARTS = {"tile": Tile, "shared": Shared, "machine": Machine, "apic": LocalApic}


#: Warnings of `verilator -Wall` about Verilog from Yosys, and why they are harmless. All others are faults.
_WAIVED = {
    "DECLFILENAME": "one file has all modules",
    "WIDTH": "operands are extended with zeros, as Verilog does by itself",
    "CASEINCOMPLETE": "a multiplexer whose inputs exclude each other",
    "CMPCONST": "a comparison with the last element",
    "UNUSEDSIGNAL": "fields of records have names of their own, for waves",
    "SYMRSVDWORD": "ports may be called interrupt and vector",
}


def with_assignments(config, assignments):
    """A MachineConfig with the ``field=value`` of ``--set``. Raises InputError."""
    values = constants(assignments, "--set", texts=TEXT_SETTINGS)
    for name, value in values.items():
        if name in ("cores", "n_cores"):
            raise InputError(f"--set {name}={value}: the number of cores is set with --cores")
        if name not in MACHINE_SETTINGS:
            raise InputError(f"--set {name}={value}: this is not a field of the machine{closest(name, MACHINE_SETTINGS)} "
                             f"(there are: {', '.join(MACHINE_SETTINGS)})")
    try:
        return replace(config, **values)
    except ValueError as error:
        raise InputError(f"--set {' '.join(assignments)}: {error}") from None


def export(part, config, out):
    """Write the Verilog of a part to the file ``out``; beside it, its ports as Markdown, and Verilator's waivers. All files whole,
    or none.

    Returns {"module", "files", "ports"}. Raises InputError, and MissingToolError without Yosys.
    """
    if part not in PARTS:
        raise InputError(f'there is no part "{part}"{closest(part, PARTS)} (there are: {", ".join(PARTS)})')
    out = Path(out)
    component, inside = hollow(Machine, config) if part == "machine" else (PARTS[part](config), None)
    ports = port_list(component)
    verilog = (component_verilog(inside, "tile") if inside else "") + component_verilog(component, part)
    files = {"verilog": out, "ports": out.with_suffix(".ports.md"), "waivers": out.with_suffix(".vlt")}
    write_together(*zip(files.values(), (verilog, _markdown(part, config, ports), _waivers(out)), strict=True))
    return {"module": part, "files": {what: str(path) for what, path in files.items()}, "ports": ports}


def port_list(component):
    """The ports of a component's module: dicts of name, direction, width, meaning. Clock and reset come first."""
    meanings = _members(getdoc(type(component)) or "")
    result = [
        {"name": "clk", "direction": "input", "width": 1, "meaning": "clock; everything happens at its rising edge"},
        {"name": "rst", "direction": "input", "width": 1, "meaning": "synchronous reset, active high"},
    ]
    for name, (value, is_input) in flat_ports(component).items():
        result.append({"name": name, "direction": "input" if is_input else "output", "width": len(value),
                       "meaning": meanings.get(name.split("__")[0], "")})
    return result


def _members(text):
    """name -> its entry in the section Members of a docstring."""
    section = re.search(r"^Members\n-+\n(.*?)(?=^\S+\n-+\n|\Z)", text, re.MULTILINE | re.DOTALL)
    meanings = {}
    for entry in re.split(r"\n(?! )", section[1].strip()) if section else ():
        # Several short entries may share a line.
        for names, meaning in re.findall(r"(\w+(?:, \w+)*) : (.*?)(?=\.  \w+(?:, \w+)* : |\Z)", entry, re.DOTALL):
            meanings.update(dict.fromkeys(names.split(", "), " ".join(meaning.split()).rstrip(".")))
    return meanings


def _markdown(part, config, ports):
    """The list of ports for people."""
    title = f"# Ports of `{part}`\n\nFor {config}.\n\nFields of packed ports are as `rtl/` declares them, the first one lowest."
    rows = [f"| `{port['name']}` | {port['direction']} | {port['width']} | {port['meaning']} |" for port in ports]
    return "\n".join([title, "", "| port | direction | bits | meaning |", "|---|---|---|---|", *rows, ""])


def _waivers(out):
    """The file for Verilator to read before the Verilog: ``verilator --lint-only -Wall FILE.vlt FILE.v``."""
    rules = [line for rule, why in _WAIVED.items() for line in (f"// {why}", f'lint_off -rule {rule} -file "*{out.name}"')]
    return "\n".join(["`verilator_config", *rules, ""])
