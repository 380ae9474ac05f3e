"""Machines that were translated before."""

import pytest

from sim.engines.compiled import translation
from sim.engines.compiled.translation import Translations, translated


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(Translations, "folder", lambda: tmp_path / "crosscall")
    return tmp_path / "crosscall"


class Maker:
    """Counts how often it is asked."""

    def __init__(self):
        self.made = 0

    def __call__(self):
        self.made += 1
        return {"text": "int x;", "number": self.made}


def test_it_is_made_once(cache):
    make = Maker()
    first = translated(("machine", 1), make)
    assert translated(("machine", 1), make) == first
    assert make.made == 1
    assert translated(("machine", 2), make)[0]["number"] == 2
    assert len(list(cache.iterdir())) == 2


@pytest.mark.parametrize("damage", [lambda octets: b"", lambda octets: octets[:-1],
                                    lambda octets: octets[:40] + b"x" + octets[41:]])
def test_what_is_damaged_is_made_again(cache, damage):
    make = Maker()
    translated("machine", make)
    path, = cache.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    assert translated("machine", make)[0]["number"] == 2
    assert translated("machine", make)[0]["number"] == 2


def test_sources_that_were_edited_are_another_machine(cache, tmp_path, monkeypatch):
    source = tmp_path / "rtl" / "core.py"
    source.parent.mkdir()
    source.write_text("DEPTH = 1\n")
    monkeypatch.setattr(translation, "_SOURCES", (source.parent,))
    make = Maker()
    for number, text in enumerate(("DEPTH = 1\n", "DEPTH = 2\n"), 1):
        source.write_text(text)
        translation._sources.cache_clear()
        assert translated("machine", make)[0]["number"] == number
    translation._sources.cache_clear()


def test_without_a_cache_it_is_made_each_time(tmp_path, monkeypatch):
    (tmp_path / "crosscall").write_text("in the way")
    monkeypatch.setattr(Translations, "folder", lambda: tmp_path / "crosscall")
    make = Maker()
    assert [translated("machine", make)[0]["number"] for _ in range(2)] == [1, 2]


def test_who_changes_the_hardware_has_none(cache, monkeypatch):
    monkeypatch.setattr(Translations, "kept", False)
    make = Maker()
    assert [translated("machine", make)[0]["number"] for _ in range(2)] == [1, 2]
    assert not cache.exists()
