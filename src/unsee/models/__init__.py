"""Models: their families, what goes into them and what comes out."""

from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

#: Of transformers. Older releases read the tower of the shipped model under other names, and would fill it with random numbers.
MINIMUM = (5, 9)


def check_transformers(installed: str) -> None:
    """Refuse a release of transformers that is too old.

    Raises:
        ImportError: it is.
    """
    if tuple(int(part) for part in installed.split(".")[:2]) < MINIMUM:
        wanted = ".".join(map(str, MINIMUM))
        raise ImportError(
            f"transformers is {installed}; expected {wanted} or newer: pip install 'transformers>={wanted}'"
        )


with suppress(PackageNotFoundError):  # planning needs none
    check_transformers(version("transformers"))
