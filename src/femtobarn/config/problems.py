"""Collects everything that is wrong with a configuration and says it at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from femtobarn.errors import ConfigError

__all__ = ["Problem", "Problems", "dotted", "shown"]

_LONGEST = 60


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where (``file:line`` or a flag), in which setting, and what."""

    where: str
    path: str
    message: str
    near: tuple[str, ...] = ()
    action: str = ""

    @property
    def what(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message

    def __str__(self) -> str:
        return str(ConfigError(self.what, where=self.where or None, near=self.near))


class Problems:
    """A list of problems that ends as one :class:`ConfigError`, or as nothing.

    Parameters
    ----------
    where : callable, optional
        From the path of a setting to its ``file:line`` (or whatever says where it was given).

    Examples
    --------
    >>> problems = Problems(where=lambda path: "RUN.yaml:3")
    >>> problems.add("must be at least 1, not 0", path=("execution", "workers"))
    >>> print(problems.found[0])
    RUN.yaml:3: execution.workers: must be at least 1, not 0
    """

    def __init__(self, where: Callable[[tuple[Any, ...]], str] | None = None) -> None:
        self._where = where or (lambda _: "")
        self.found: list[Problem] = []

    def __bool__(self) -> bool:
        return bool(self.found)

    def add(
        self,
        message: str,
        *,
        path: Sequence[Any] = (),
        where: str | None = None,
        near: Iterable[str] = (),
        action: str = "",
    ) -> None:
        """Note a problem; ``where`` is asked from the path unless given."""
        place = self._where(tuple(path)) if where is None else where
        problem = Problem(place, dotted(path), message, tuple(near), action)
        if problem not in self.found:
            self.found.append(problem)

    def raise_if_any(self) -> None:
        """Raise everything found as one error, in the order of the file's lines.

        Raises
        ------
        ConfigError
            ``str(error)`` has one line a problem, ``file:line: path: message (did you mean 'x'?)``,
            and a last line with what can be done.
        """
        if not self.found:
            return
        found = sorted(self.found, key=lambda problem: _order(problem.where))
        action = "\n  -> ".join(dict.fromkeys(problem.action for problem in found if problem.action)) or None
        if len(found) == 1:
            only = found[0]
            raise ConfigError(only.what, where=only.where or None, near=only.near, action=action)
        raise ConfigError("\n".join(map(str, found)), action=action)


def _order(where: str) -> tuple[str, int]:
    """File name, then line as a number (stable for the rest)."""
    file, _, line = where.rpartition(":")
    return (file, int(line)) if file and line.isdecimal() else ("", 0)


def dotted(path: Sequence[Any]) -> str:
    """A path as people write it: ``execution.workers``, ``files.data[0]``."""
    text = ""
    for item in path:
        if isinstance(item, int) and not isinstance(item, bool) and text:
            text += f"[{item}]"
        else:
            name = str(item) if str(item).isprintable() else repr(item)  # one line stays one line
            text += f".{name}" if text else name
    return text


def shown(value: Any) -> str:
    """A value as it would be written in the file, shortened: ``'abc'``, ``true``, ``[1, 2]``."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        text = "[" + ", ".join(shown(item) for item in value[:8]) + (", ...]" if len(value) > 8 else "]")
    elif isinstance(value, dict):
        items = [f"{key}: {shown(item)}" for key, item in list(value.items())[:8]]
        text = "{" + ", ".join(items) + (", ...}" if len(value) > 8 else "}")
    else:
        text = repr(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 4] + " ..."
