"""What all tests begin with."""

import gc
import os
from functools import cache

import pytest

from sim.engines.compiled.translation import Translations
from sim.microcode.assembler import SOURCES, assemble

# Elaboration makes millions of objects that stay. With Python's own thresholds a fifth of it goes by in looking for garbage there.
gc.set_threshold(50_000, 20, 50)


@pytest.fixture(scope="session", autouse=True)
def _machines_once(tmp_path_factory):
    """A machine is elaborated once, by whichever process of these tests needs it first. No longer than that is it kept: a test that
    changes the hardware and does not say so must not be found in the user's cache."""
    folder = tmp_path_factory.getbasetemp()
    # The processes of xdist have theirs side by side.
    folder = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "translations"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Translations, "folder", lambda: folder)
        yield


@pytest.fixture(scope="session", autouse=True)
def _shipped_protocols_once():
    """What is shipped does not change: it is assembled once for each size."""
    @cache
    def once(path, n_cores, xlen, defines):
        return assemble(path, n_cores=n_cores, xlen=xlen, defines=dict(defines))

    def assembled(path, *, n_cores, xlen, defines, text=None):
        if text is None and path.parent == SOURCES:
            return once(path, n_cores, xlen, tuple(defines.items()))
        return assemble(path, n_cores=n_cores, xlen=xlen, defines=defines, text=text)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sim.runs.prepare.assemble", assembled)
        yield


@pytest.fixture
def change_hardware(monkeypatch):
    """Changes the hardware for one test, as ``monkeypatch.setattr`` does: a machine that was elaborated before is another."""
    monkeypatch.setattr(Translations, "kept", False)
    return monkeypatch.setattr
