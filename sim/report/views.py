"""What a run leaves besides its waves, for other viewers: its page."""

from dataclasses import replace

from sim.timeline import Timeline

from .page import check_charts
from .run_page import write_run_page

__all__ = ["Views"]


class Views:
    """Ask for it before the run, give the run its ``timeline`` as ``watch``, and ``write`` when it is over.

    Parameters
    ----------
    prepared : the run.  html : write a page. Raises MissingToolError if something is missing for it.
    """

    def __init__(self, prepared, *, html):
        if html:
            check_charts()
        self.timeline = Timeline(prepared.run.config, prepared.image)
        self._html = html

    def write(self, result, out, name=None):
        """Write the files, and give the Result that names them. out, name : as of ``sim.runs.run.run``. Raises InputError."""
        self.timeline.finish(result.clocks)
        files = dict(result.files)
        base = out / (name or result.prepared.scenario.name)
        if self._html:
            files["page"] = base.with_name(f"{base.name}.html")
            write_run_page(files["page"], result.to_json(), self.timeline)
        return replace(result, files=files)
