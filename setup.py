"""What pyproject.toml cannot say: in a wheel, rtl and sim are inside the package crosscall. An editable installation has them where
they are, beside it."""

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py

OUTER = "crosscall"


class InsideOnePackage(build_py):
    def finalize_options(self):
        super().finalize_options()
        if self.editable_mode:
            return
        inner = [name for name in self.packages if name != OUTER]
        self.packages = [OUTER, *(f"{OUTER}.{name}" for name in inner)]
        self.package_dir = {f"{OUTER}.{name}": name for name in inner if "." not in name}
        self.package_data = {name if name == OUTER else f"{OUTER}.{name}": files for name, files in self.package_data.items()}


class OnePackage(Distribution):
    def iter_distribution_names(self):
        """What the metadata names as the top level."""
        yield OUTER


setup(cmdclass={"build_py": InsideOnePackage}, distclass=OnePackage)
