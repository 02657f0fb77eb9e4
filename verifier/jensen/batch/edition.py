"""Whose verdicts a store may serve: the editions of what decides."""

from __future__ import annotations

# Raised with each change without which a verdict could be wrong. Every row says which edition
# found it; rows of stores that were written before editions were counted have 0.
EDITION = 2
# the first edition none of whose verdicts is known to be possibly wrong: in the first one two
# graphs with convolutions could have one digest
TRUSTED_SINCE = 2


def is_trusted(edition: int) -> bool:
    """Whether what an edition found is taken from a store, and not asked again.

    Parameters
    ----------
    edition : int

    Examples
    --------
    >>> is_trusted(EDITION), is_trusted(0)
    (True, False)
    """
    return edition >= TRUSTED_SINCE
