"""--tutorial: what each step does, why, and how to do it by hand, as it begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO

from contextcore_install.core.errors import InstallError
from contextcore_install.core.events import Event, Kind
from contextcore_install.ui.style import Style
from contextcore_install.ui.terminal import Sink


@dataclass(frozen=True, slots=True)
class Lesson:
    """What there is to learn of a step; `by_hand` returns its commands and may raise InstallError."""

    title: str
    text: str
    by_hand: Callable[[], Sequence[str]]


class Tutor:
    """A projection that explains each step once: in words when it begins, in commands when it is done."""

    def __init__(self, stream: TextIO, style: Style, lessons: Mapping[str, Lesson]) -> None:
        self._sink = Sink(stream)
        self._style = style
        self._lessons = dict(lessons)

    def handle(self, event: Event) -> None:
        """Explain a step when it begins; its commands follow when it is done, as they hang on what it found."""
        if event.kind is Kind.STEP_CHECKING and event.step in self._lessons:
            lesson = self._lessons[event.step]
            lines = ["", self._style.line((lesson.title, "strong"))]
            self._sink.lines([*lines, *self._style.paragraph(lesson.text, first=[("  ", "")], indent=2)])
        elif event.kind is Kind.STEP_COMPLETED and event.step in self._lessons:
            self._sink.lines(self._commands(self._lessons.pop(event.step)))

    def _commands(self, lesson: Lesson) -> list[str]:
        try:
            commands = lesson.by_hand()
        except InstallError:
            return []
        heading = [self._style.line("  By hand:")] if commands else []
        return heading + [self._style.line("    ", (command, "strong"), whole=True) for command in commands]
