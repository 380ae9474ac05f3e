"""The package that is installed. In a wheel it contains ``rtl`` and ``sim``, so that nothing with such common names is at the top
of site-packages: after ``import crosscall`` they can be imported by these names, in this process and in those that it starts with
multiprocessing. In the repository they are beside this folder, and an editable installation finds them there.
"""

import sys
from pathlib import Path

__all__ = []

sys.path.insert(0, str(Path(__file__).parent))
