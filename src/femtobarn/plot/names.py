"""Names that users chose, as figures and files can hold them."""

from __future__ import annotations

from femtobarn.folders import legal_name

__all__ = ["Stems", "literal"]


def literal(name: str) -> str:
    """A name as matplotlib shall write it: mathtext where it is valid, else every character itself."""
    if "$" not in name:
        return name
    from matplotlib.mathtext import MathTextParser

    try:
        MathTextParser("path").parse(name)
    except ValueError:
        return name.replace("$", r"\$")
    return name


class Stems:
    """File stems made from names: legal everywhere, and never the same one twice."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def __call__(self, text: str) -> str:
        stem = legal_name(text)
        name, k = stem, 1
        # Some file systems do not tell upper from lower case.
        while name.casefold() in self._taken:
            k += 1
            name = f"{stem}_{k}"
        self._taken.add(name.casefold())
        return name
