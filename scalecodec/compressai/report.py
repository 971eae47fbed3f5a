"""What was accelerated in a model, what was not and why, and the way back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType


@dataclass(frozen=True)
class Part:
    """One module: its name in the model, its class, and what it runs on now, or why it was left as it was."""

    name: str
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.name or '(the model)'} ({self.kind}): {self.text}"


@dataclass
class Report:
    """The result of :func:`scalecodec.compressai.accelerate`: prints itself, and undoes what it tells.

    Attributes
    ----------
    replaced : modules that run on the compiled core now
    kept : modules that code, but were left as they were, and why
    notes : what else is to know, of the installed version
    """

    replaced: list[Part] = field(default_factory=list)
    kept: list[Part] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _undo: list[Callable[[], None]] = field(default_factory=list, repr=False)

    def undo(self) -> None:
        """Give every module its own class back. The second time does nothing."""
        while self._undo:
            self._undo.pop()()

    def __enter__(self) -> Report:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.undo()

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        for title, parts in (("replaced", self.replaced), ("left as they were", self.kept)):
            yield f"{title}: {len(parts)}"
            yield from (f"  {part}" for part in parts)
        yield from self.notes
