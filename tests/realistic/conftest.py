"""See :mod:`tests.realistic.fixtures`; tests of the workflow take them from there too."""

from tests.realistic.fixtures import realistic_checkpoint, realistic_clear, realistic_mllmu, vocabulary

__all__ = ["realistic_checkpoint", "realistic_clear", "realistic_mllmu", "vocabulary"]
