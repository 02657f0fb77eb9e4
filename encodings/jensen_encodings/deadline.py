"""When to stop: one frozen deadline, passed on instead of numbers of seconds."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

LONGEST = 1e12  # seconds; whole numbers beyond all doubles are limits, too


@dataclass(frozen=True)
class Deadline:
    """A point on the clock of ``time.monotonic``; infinite where there is no limit.

    Parameters
    ----------
    at : float

    Examples
    --------
    >>> Deadline().over(), Deadline().left()
    (False, inf)
    >>> Deadline.after(60.0).share(0.5).left() <= 30.0
    True
    >>> Deadline.after(None).seconds() is None, 0 < Deadline.after(60).within(5).left() <= 5
    (True, True)
    """

    at: float = math.inf

    @classmethod
    def after(cls, seconds: float | None) -> Deadline:
        """Return the deadline so many seconds from now; None for no limit.

        Parameters
        ----------
        seconds : float or None

        Returns
        -------
        Deadline
        """
        return cls() if seconds is None else cls(time.monotonic() + min(seconds, LONGEST))

    def over(self) -> bool:
        """Whether time is up.

        Returns
        -------
        bool
        """
        # no limit, no look at the clock: this is asked in inner loops
        return self.at < math.inf and time.monotonic() > self.at

    def left(self) -> float:
        """Seconds left, >= 0.

        Returns
        -------
        float
        """
        return max(0.0, self.at - time.monotonic())

    def seconds(self, least: float = 0.0) -> float | None:
        """Return the seconds left, at least so many, for whom None means no limit.

        Parameters
        ----------
        least : float

        Returns
        -------
        float or None
        """
        return None if self.at == math.inf else max(least, self.left())

    def share(self, part: float) -> Deadline:
        """Return the deadline after a part of what is left.

        Parameters
        ----------
        part : float
            Between 0 and 1.

        Returns
        -------
        Deadline
        """
        return Deadline(time.monotonic() + part * self.left())

    def within(self, seconds: float | None) -> Deadline:
        """Return this deadline, or the one so many seconds from now if that is sooner.

        Parameters
        ----------
        seconds : float or None

        Returns
        -------
        Deadline
        """
        return Deadline(min(self.at, Deadline.after(seconds).at))


NEVER = Deadline()
