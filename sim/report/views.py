"""What a run writes besides its waves, for other viewers: its page, its trace for Perfetto, and its waves as FST."""

from dataclasses import replace

from sim.files import make_folder
from sim.timeline import Timeline
from sim.waves.fst import check_fst, write_fst
from sim.waves.perfetto import check_perfetto, write_perfetto

from .page import check_charts
from .run_page import write_run_page

__all__ = ["Views"]


class Views:
    """Create it before the run, pass its ``timeline`` to the run as ``watch``, and call ``write`` when the run is over.

    Parameters
    ----------
    prepared : the run.  html : write a page.  perfetto : write a trace.  fst : also write the waves as FST; the run writes waves.
    Raises MissingToolError if a library for it is missing.

    Members
    -------
    timeline : of the run; None if no view needs it.
    """

    def __init__(self, prepared, *, html=False, perfetto=False, fst=False):
        if html:
            check_charts()
        if perfetto:
            check_perfetto()
        if fst:
            check_fst()
        self.timeline = Timeline(prepared.run.config, prepared.image) if html or perfetto else None
        self._html, self._perfetto, self._fst = html, perfetto, fst

    def write(self, result, out, name=None):
        """Write the files, and return the Result that names them. out, name : as for ``sim.runs.run.run``. Raises InputError."""
        if self.timeline:
            self.timeline.finish(result.clocks)
        make_folder(out)
        files = dict(result.files)
        base = out / (name or result.prepared.scenario.name)
        if self._html:
            files["page"] = base.with_name(f"{base.name}.html")
            write_run_page(files["page"], result.to_json(), self.timeline)
        if self._perfetto:
            files["trace"] = base.with_name(f"{base.name}.pftrace")
            write_perfetto(files["trace"], result.prepared.scenario.name, self.timeline, result.calls)
        if self._fst:
            files["fst"] = files["waves"].with_suffix(".fst")
            write_fst(files["waves"], files["fst"])
        return replace(result, files=files)
