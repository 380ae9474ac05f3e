"""The generated C under AddressSanitizer and UndefinedBehaviorSanitizer: nothing is read or written that is not there."""

import os
import shutil
import subprocess
import sys

import pytest

from sim.litmus.command import SHIPPED

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")]

#: Runs in a process of its own, because the sanitizer's library must be loaded before Python.
_SCRIPT = """
import sys
from sim.engines.compiled import toolchain
toolchain._OPTIONS = (*toolchain._OPTIONS, "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
from sim.cli import app
app(sys.argv[1:])
"""


def sanitized(tmp_path, *arguments):
    library = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True).stdout.strip()
    environment = {**os.environ, "CC": "gcc", "LD_PRELOAD": library, "ASAN_OPTIONS": "detect_leaks=0",
                   "XDG_CACHE_HOME": str(tmp_path / "cache")}
    return subprocess.run([sys.executable, "-c", _SCRIPT, *map(str, arguments)], capture_output=True, text=True, cwd=tmp_path,
                          env=environment, check=False)


@pytest.mark.parametrize("memory", ["sc", "tso", "pso"])
def test_litmus_tests(tmp_path, memory):
    done = sanitized(tmp_path, "litmus", SHIPPED, "--memory", memory, "--runs", 20, "--processes", 1)
    assert (done.returncode, "Sanitizer" in done.stderr, "runtime error" in done.stderr) == (0, False, False), done.stderr[-2000:]


def test_a_test_that_fills_its_machine(tmp_path):
    rows = " MOV [x],$1 | MOV EAX,[x] ;\n" * 200
    (tmp_path / "long.litmus").write_text("X86 long\n{ x=0; }\n P0 | P1 ;\n" + rows + "exists (x=1)\n")
    done = sanitized(tmp_path, "litmus", "long.litmus", "--runs", 4)
    assert (done.returncode, "Sanitizer" in done.stderr) == (0, False), done.stderr[-2000:]


@pytest.mark.parametrize("scenario", ["demo", "many", "hotplug"])
def test_scenarios(tmp_path, scenario):
    done = sanitized(tmp_path, "run", scenario, "--no-vcd")
    assert (done.returncode, "Sanitizer" in done.stderr) == (0, False), done.stderr[-2000:]
