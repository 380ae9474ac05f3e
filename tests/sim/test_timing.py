"""The timing diagrams of the documentation show what the machine does."""

import pytest

from sim.report.timing import DIAGRAMS, DOCUMENTS, main, update


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_diagrams_are_up_to_date(document):
    text = document.read_text(encoding="utf-8")
    assert update(text) == text


def test_every_diagram_is_shown():
    texts = [path.read_text(encoding="utf-8") for path in DOCUMENTS]
    assert all(any(f"<!-- timing: {name} -->" in text for text in texts) for name in DIAGRAMS)


def test_a_stale_diagram_is_found_and_written_anew(tmp_path, monkeypatch, capsys):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- timing: load -->\nstale\n<!-- end -->\nafter\n")
    monkeypatch.setattr("sim.report.timing.DOCUMENTS", (page,))
    assert main([]) == 1 and "page.md" in capsys.readouterr().err
    assert main(["--write"]) == 0 and main([]) == 0
    assert page.read_text().startswith("before\n<!-- timing: load -->\n```text\nclock ") and "stale" not in page.read_text()
