"""The generated C under AddressSanitizer and UndefinedBehaviorSanitizer: nothing is read or written that is not there."""

import os
import shutil
import subprocess
import sys

import pytest

from sim.litmus.command import SHIPPED
from sim.scenarios.reader import shipped_scenarios

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")]

#: Runs in a process of its own, because the sanitizer's library must be loaded before Python.
_SCRIPT = """
import sys
from sim.engines.compiled import toolchain
toolchain._OPTIONS = (*toolchain._OPTIONS, "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
from sim.cli import app
app(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """What one test has built, the others use."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def sanitized(tmp_path, cache):
    """Runs the command in an empty folder; gives its exit code. Whatever a sanitizer says is a failure."""
    library = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True).stdout.strip()
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "CC": "gcc", "LD_PRELOAD": library, "ASAN_OPTIONS": "detect_leaks=0",
                   "XDG_CACHE_HOME": str(cache)}

    def run(*arguments):
        done = subprocess.run([sys.executable, "-c", _SCRIPT, *map(str, arguments)], capture_output=True, text=True, cwd=tmp_path,
                              env=environment, check=False)
        assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr[-2000:]
        assert done.returncode in (0, 1), done.stderr[-2000:]
        return done.returncode

    return run


@pytest.mark.parametrize("memory", ["sc", "tso", "pso"])
def test_litmus_tests(sanitized, memory):
    """All shipped ones under each model: more than a hundred and fifty, with schedules that are drawn and that are guided."""
    assert sanitized("litmus", SHIPPED, "--memory", memory, "--runs", 20, "--processes", 1) == 0


def test_a_test_that_fills_its_machine(sanitized, tmp_path):
    rows = " MOV [x],$1 | MOV EAX,[x] ;\n" * 200
    (tmp_path / "long.litmus").write_text("X86 long\n{ x=0; }\n P0 | P1 ;\n" + rows + "exists (x=1)\n")
    assert sanitized("litmus", "long.litmus", "--runs", 4) == 0


@pytest.mark.parametrize("scenario", shipped_scenarios())
def test_scenarios_one_by_one(sanitized, scenario):
    sanitized("run", scenario, "--no-vcd", "--engine", "compiled")


@pytest.mark.parametrize("machine", [(), ("--memory", "pso", "--set", "x2apic=1"), ("--set", "xlen=64", "--set", "n_banks=4")],
                         ids=" ".join)
@pytest.mark.parametrize("scenario", ["storm", "hotplug", "nested"])
def test_hunts_side_by_side(sanitized, scenario, machine):
    """Random plans on lanes, and each finding again on the engine that runs one by one."""
    sanitized("hunt", scenario, *machine, "--runs", 150, "--first", 1, "--processes", 1)


def test_waves(sanitized):
    """The probe is read, too."""
    sanitized("run", "many")
