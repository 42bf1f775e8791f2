"""Luminosity profiles of a run and its references on top of each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from femtobarn.catalog.lumisections import Profile
from femtobarn.plot.drawing import Drawing
from femtobarn.plot.style import PALETTE, Label, figure, style

__all__ = ["overlay"]


def overlay(
    profiles: Sequence[Profile],
    *,
    target: int,
    quantity: Literal["luminosity", "pileup"] = "luminosity",
    name: str = "overlay",
    label: Label,
) -> Drawing:
    """Luminosity or pileup against minutes in stable beams, a line a run; gaps stay gaps.

    Parameters
    ----------
    profiles : of the target (drawn black) and of references
    """
    unit = " [10³⁴ cm⁻² s⁻¹]" if quantity == "luminosity" else ""
    colours = iter([c for c in PALETTE for _ in range(1)] * 3)
    dashes = iter(["--", "-.", ":", "--", "-.", ":"] * 6)
    with style():
        fig, axes = figure(6.8, 4.4)
        for profile in profiles:
            values = getattr(profile, quantity)
            if profile.run == target:
                axes.plot(
                    profile.minutes,
                    values,
                    color="black",
                    linewidth=1.8,
                    label=f"run {profile.run}",
                    zorder=5,
                )
            else:
                # Line style as well as colour: readable without colour.
                axes.plot(profile.minutes, values, color=next(colours), linestyle=next(dashes),
                          linewidth=1.4, label=f"reference {profile.run}")  # fmt: skip
        axes.set_xlabel("Time in stable beams [min]")
        axes.set_ylabel(("Luminosity" if quantity == "luminosity" else "Pileup") + unit)
        # Room for the legend above the highest line.
        axes.set_ylim(0, axes.get_ylim()[1] * (1.0 + 0.085 * len(profiles)))
        if profiles:
            axes.legend(loc="upper right")
        else:
            axes.text(
                0.5, 0.5, "no lumisections of these runs are known", transform=axes.transAxes, ha="center"
            )
        label.draw(axes)
    numbers = {"quantity": quantity, "x": "minutes in stable beams", "target": target, "label": label.text,
               "profiles": [profile.to_json() for profile in profiles]}  # fmt: skip
    longest = {p.run: f"{np.isfinite(getattr(p, quantity)).sum()} lumisections" for p in profiles}
    caption = "; ".join(f"{run}: {text}" for run, text in longest.items()) or "nothing to show"
    return Drawing(
        name, fig, numbers, f"{quantity.capitalize()} of run {target} and its references", caption + "."
    )
