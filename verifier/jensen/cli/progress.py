"""Progress of a batch on standard error: a live bar, plain lines, or JSON events."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from threading import Lock
from types import TracebackType
from typing import Any, Self

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from jensen.batch.runner import Event, EventKind
from jensen.cli.common import stderr_console
from jensen.text import json_ready, printable

_OVER = {EventKind.FOUND, EventKind.DONE, EventKind.SKIPPED}


class Plain:
    """One line per finished model, for logs and pipes."""

    def __init__(self, total: int, stopped: Callable[[], bool]) -> None:
        self.total = total
        self.stopped = stopped
        self.over = 0
        self.said = False
        self._to_say = Lock()

    def stop(self) -> bool:
        """Return whether to stop, and say so the first time."""
        stopping = self.stopped()
        # the first of two threads says it, and none waits for the other
        if stopping and self._to_say.acquire(blocking=False):
            self.said = True
            self.say_stopping()
        return stopping

    def say_stopping(self) -> None:
        """Say what Ctrl-C has begun."""
        self.write("stopping when the running models are done; Ctrl-C again stops at once")

    def on_event(self, event: Event) -> None:
        """Say what happened."""
        if event.kind not in _OVER or event.row is None:
            return
        self.over += 1
        width = len(str(self.total))
        row = event.row
        found = "  (stored)" if event.kind is EventKind.FOUND else f"  {row.seconds:.2f} s"
        self.write(f"[{self.over:>{width}}/{self.total}] {row.status:<9}  {event.case.name}{found}")

    def write(self, line: str) -> None:
        """Write one line."""
        print(printable(line), file=sys.stderr, flush=True)  # noqa: T201  (standard error is its place)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None


class Events(Plain):
    """One JSON object per line and event, for machines."""

    def __init__(self, total: int, stopped: Callable[[], bool]) -> None:
        super().__init__(total, stopped)
        self.start = time.monotonic()

    def say_stopping(self) -> None:
        """Write an event of its own."""
        self.write(json.dumps({"event": "stopping", "done": self.over, "total": self.total}))

    def on_event(self, event: Event) -> None:
        """Write the event."""
        self.over += event.kind in _OVER
        record: dict[str, Any] = {
            "event": str(event.kind),
            "model": event.case.name,
            "number": event.number,
            "done": self.over,
            "total": self.total,
            "elapsed": round(time.monotonic() - self.start, 3),
        }
        if event.row is not None:
            record |= {
                "status": str(event.row.status),
                "seconds": round(event.row.seconds, 4),
                "error": event.row.error,
            }
        self.write(json.dumps(json_ready(record), ensure_ascii=False))


class Live(Plain):
    """A bar with counts per verdict, the models at work and the time left."""

    def __init__(self, total: int, stopped: Callable[[], bool]) -> None:
        super().__init__(total, stopped)
        self.counts: Counter[str] = Counter()
        self.working: dict[int, str] = {}
        self.computed = 0
        self.start = time.monotonic()
        self.bar = Progress(
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.fields[counts]}"),
            TextColumn("[dim]{task.fields[working]}"),
            console=stderr_console(),
            transient=True,
        )
        self.task = self.bar.add_task("", total=total, counts="", working="", left="")

    def say_stopping(self) -> None:
        """Show it in place of the models at work."""
        self._update()

    def on_event(self, event: Event) -> None:
        """Update the bar."""
        if event.kind is EventKind.START:
            self.working[event.number] = event.case.name.rpartition("/")[2]
        else:
            self.working.pop(event.number, None)
        if event.kind in _OVER and event.row is not None:
            self.counts[str(event.row.status)] += 1
            self.over += 1
            self.computed += event.kind is EventKind.DONE
        self._update()

    def _update(self) -> None:
        self.bar.update(
            self.task,
            completed=self.over,
            counts=", ".join(f"{n} {status}" for status, n in self.counts.items()),
            working="stopping; Ctrl-C again stops at once" if self.said else self._at_work(),
            left="" if self.said else self._left(),
        )

    def _at_work(self) -> str:
        names = [escape(printable(name)) for name in list(self.working.values())[:2]]
        more = len(self.working) - len(names)
        return ", ".join(names) + (f" and {more} more" if more else "")

    def _left(self) -> str:
        if self.computed < 3:
            return ""
        seconds = (time.monotonic() - self.start) / self.computed * (self.total - self.over)
        return f"{seconds / 60:.0f} min left" if seconds >= 90 else f"{seconds:.0f} s left"

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.bar.stop()


def progress_for(total: int, *, as_json: bool, stopped: Callable[[], bool]) -> Plain:
    """Return what suits the place where standard error goes."""
    if as_json:
        return Events(total, stopped)
    return (Live if sys.stderr.isatty() else Plain)(total, stopped)
