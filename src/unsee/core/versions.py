"""The versions of the libraries that results depend on."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

#: The packages that compute features and answers; another version may change a last digit.
COMPUTING = ("peft", "pillow", "tokenizers", "torch", "transformers")
#: The packages that receipts and manifests name.
RECORDED = ("accelerate", "numpy", "pandas", "peft", "pyarrow", "snakemake", "tokenizers", "torch", "transformers")


def versions(packages: Iterable[str]) -> dict[str, str]:
    """The version of each package that is installed; a job needs only some of them."""
    installed = {}
    for package in packages:
        try:
            installed[package] = version(package)
        except PackageNotFoundError:
            continue
    return installed
