"""The sections of the survey's configuration file, and the parameters that come of them."""

from __future__ import annotations

from typing import Any

from femtobarn.config.located import Located
from femtobarn.config.problems import Problems, shown
from femtobarn.config.survey_keys import ANCHORS, KEYS
from femtobarn.errors import nearest

__all__ = ["Sections"]


class Sections:
    """One file on its way to parameters.

    Attributes
    ----------
    sections : {section: {key: value}}
    problems : what is wrong, by line
    parameters : of the analysis
    where : {parameter: file:line}
    ignored, notes : what a reader must know
    """

    def __init__(self, located: Located) -> None:
        self.located = located
        self.problems = Problems(where=located.where)
        self.sections: dict[str, dict[str, Any]] = {}
        self.parameters: dict[str, Any] = {}
        self.where: dict[str, str] = {}
        self.ignored: list[str] = []
        self.notes: list[str] = []

    def check_keys(self) -> None:
        """Every key must be known; those without effect are noted."""
        value = self.located.value
        if not isinstance(value, dict):
            self.problems.add("must be a table of sections", action="see the survey's tutorial")
            return
        for name, section in value.items():
            if name in ANCHORS:
                continue
            if name not in KEYS:
                self.problems.add("unknown section", path=(name,), near=nearest(str(name), [*KEYS, *ANCHORS]))
                continue
            if section is None:
                continue
            if not isinstance(section, dict):
                self.problems.add(f"must be a table, not {shown(section)}", path=(name,))
                continue
            self.sections[name] = section
            for key, item in section.items():
                if key not in KEYS[name]:
                    self.problems.add("unknown key", path=(name, key), near=nearest(str(key), KEYS[name]))
                elif KEYS[name][key] == "-" and item is not None:
                    self.ignored.append(f"{name}.{key}")

    def put(self, name: str, value: Any, path: tuple[str, ...]) -> None:
        """Set a parameter, remembering where it was said."""
        head, _, rest = name.partition(".")
        where = self.located.where(path)
        if rest:
            table = dict(self.parameters.get(head, {}))
            table[rest] = value
            self.parameters[head] = table
            self.where[f"{head}.{rest}"] = where
        else:
            self.parameters[name] = value
        self.where.setdefault(head, where)

    def plain(self) -> None:
        """Keys that are parameters under another name; an empty value means the default."""
        for section, keys in KEYS.items():
            for key, target in keys.items():
                value = self.sections.get(section, {}).get(key)
                if target not in ("-", "!") and value is not None:
                    self.put(target, value, (section, key))

    def number(self, section: str, key: str) -> int:
        """A value that must be a positive integer."""
        value = self.sections[section][key]
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            self.problems.add(f"must be a positive integer, not {shown(value)}", path=(section, key))
            return 1
        return value
