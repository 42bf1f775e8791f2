"""Tables, figures and sentences of the job that finds a reference run for a shifter.

A ranking is no event loop: its parts are runs and classes, its outcome are tables.  What is here turns
answers of :mod:`femtobarn.rank` into the tables, figures and sentences of a run directory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from femtobarn.catalog.lumisections import Sections
from femtobarn.catalog.runrecords import CLASSES
from femtobarn.rank.answers import Suggestion
from femtobarn.rank.evaluate import Evaluation, ranks_table
from femtobarn.rank.promotion import Promoted, PromotionEvaluation
from femtobarn.run.files import write_csv

__all__ = [
    "TITLE", "draw_evaluation", "draw_overlays", "evaluation_headline", "promotion_check_headline",
    "promotion_headline", "suggest_content", "suggest_headline", "worse_sentence", "write_evaluation",
    "write_fetched", "write_promotion_check", "write_promotions", "write_suggest_tables",
]  # fmt: skip

TITLE: Final = "Reference runs"
#: References whose profile is drawn with the target's.
_DRAWN: Final = 3


def label(*, toy: bool) -> Any:
    """Whose records a figure shows."""
    from femtobarn.plot import Label

    return Label("femtobarn toy simulation") if toy else Label("CMS run records")


def suggest_content(answers: Sequence[Suggestion]) -> dict[str, Any]:
    """The content of ``suggest.json``: the answer, or a list of several."""
    if len(answers) == 1:
        return answers[0].to_json()
    return {"suggestions": [answer.to_json() for answer in answers]}


def suggest_headline(answers: Sequence[Suggestion]) -> str:
    """The first choice of every run in words."""
    return " ".join(_first(answer) for answer in answers)


def _first(answer: Suggestion) -> str:
    name = f"run {answer.question.run} ({answer.question.reco}, {answer.run_class})"
    if not answer.candidates:
        return f"No reference is left for {name}: all {answer.closed_list_size} are excluded."
    best = answer.candidates[0]
    text = f"Compare {name} with {best.reference}: {'; '.join(best.history_reasons)}."
    alike = next((c for c in answer.candidates if c.physics_rank == 1), None)
    if alike is not None and alike is not best:
        text += f" Most alike in conditions is {alike.reference}, at a distance of {alike.physics.value:.3f}."
    if answer.alerts:
        text += f" Look at {', '.join(alert.code for alert in answer.alerts)}."
    return text


def write_suggest_tables(folder: Path, answers: Sequence[Suggestion]) -> None:
    """``suggest.csv``, ``excluded.csv``, ``alerts.csv`` and ``target.csv``, as far as they have rows."""
    ranked = [
        {
            "run": a.question.run, "rank": c.rank, "reference": c.reference, "reco": c.reco,
            "history_rank": c.history_rank, "history_score": c.history_score,
            "physics_rank": c.physics_rank, "physics_distance": c.physics.value,
            "flags": " ".join(c.flags), "reasons": "; ".join(c.history_reasons),
        }
        for a in answers for c in a.candidates
    ]  # fmt: skip
    excluded = [
        {"run": a.question.run, "reference": number, "code": r.code, "detail": r.detail}
        for a in answers for number, reasons in a.excluded for r in reasons
    ]  # fmt: skip
    alerts = [{"run": a.question.run, "code": x.code, "detail": x.detail} for a in answers for x in a.alerts]
    target = [
        {"run": a.question.run, "feature": name, "value": q.value, "unit": q.unit,
         "missing": q.missing_reason, "source": q.source}
        for a in answers for name, q in a.features.items()
    ]  # fmt: skip
    why = [{"run": a.question.run, "asked": w.run, "answer": w.answer} for a in answers for w in a.why_not]
    for name, rows in (("suggest", ranked), ("excluded", excluded), ("alerts", alerts), ("target", target),
                       ("why_not", why)):  # fmt: skip
        _write(folder / f"{name}.csv", rows)


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """A table; one without rows is absent, also if an earlier run left one."""
    if rows:
        write_csv(path, {name: [row[name] for row in rows] for name in rows[0]})
    else:
        path.unlink(missing_ok=True)


def draw_overlays(folder: Path, answers: Sequence[Suggestion], table: Sections | None, *, toy: bool) -> None:
    """Luminosity of each run and its first references, as PNG, SVG and JSON."""
    if table is None:
        return
    from femtobarn.plot import save
    from femtobarn.plot.overlay import overlay

    for answer in answers:
        wanted = [answer.question.run, *(c.reference for c in answer.candidates[:_DRAWN])]
        profiles = [p for p in (table.profile(run) for run in wanted) if p is not None]
        if not profiles:
            continue
        for quantity in ("luminosity", "pileup"):
            drawing = overlay(profiles, target=answer.question.run, quantity=quantity,
                              name=f"{quantity}_{answer.question.run}", label=label(toy=toy))  # fmt: skip
            save(drawing, folder, ("png", "svg"))


def write_evaluation(folder: Path, found: Evaluation, content: Mapping[str, Any]) -> None:
    """``ranks.csv`` and ``metrics.csv``."""
    write_csv(folder / "ranks.csv", ranks_table(found.ranks))
    rows = [
        {"group": group, "ranker": name, "n": values["n"], "cold": values["cold"],
         **{key: scores[key] for key in ("top1", "top3", "top5", "top10", "mrr")},
         "top1_low": scores["top1_ci95"][0], "top1_high": scores["top1_ci95"][1]}
        for group, values in content["groups"].items() if values["n"]
        for name, scores in values["rankers"].items()
    ]  # fmt: skip
    _write(folder / "metrics.csv", rows)


def evaluation_headline(content: Mapping[str, Any]) -> str:
    """How often each of the main rankers is right at once."""
    group = content["groups"]["all"]
    said = []
    for name in ("latest", "latest_any", "model"):
        if name in group["rankers"] and (name != "latest_any" or content["embargo"]):
            scores = group["rankers"][name]
            low, high = scores["top1_ci95"]
            said.append(
                f"{name} {scores['top1']:.4f} [{low:.3f}, {high:.3f}] at the top, mean reciprocal rank "
                f"{scores['mrr']:.4f}"
            )
    return (f"{group['n']} certifications, {content['protocol']}"
            f"{' ' + str(content['embargo']) if content['embargo'] else ''}: {'; '.join(said)}.")  # fmt: skip


def worse_sentence(content: Mapping[str, Any]) -> str:
    """Why the evaluation ends with an error."""
    rankers = content["groups"]["all"]["rankers"]
    return (
        f"the model is right at the top in {rankers['model']['top1']:.4f}, latest in "
        f"{rankers['latest']['top1']:.4f}: worse by more than .002; --allow-worse accepts that"
    )


def draw_evaluation(folder: Path, content: Mapping[str, Any], *, toy: bool) -> None:
    """One figure: how often each ranker is right at once, by class, with its interval."""
    from femtobarn.plot import save
    from femtobarn.plot.drawing import Drawing
    from femtobarn.plot.style import PALETTE, figure, style

    groups = {name: content["groups"][name] for name in ("all", *CLASSES) if content["groups"][name]["n"]}
    names = list(groups["all"]["rankers"])
    with style():
        fig, axes = figure(6.8, 1.2 + 0.32 * len(names) * 1.4)
        for i, (group, values) in enumerate(groups.items()):
            at = np.arange(len(names)) + 0.18 * (i - 0.5 * (len(groups) - 1))
            top = np.array([values["rankers"][name]["top1"] for name in names])
            low, high = np.array([values["rankers"][name]["top1_ci95"] for name in names]).T
            axes.errorbar(
                top,
                at,
                xerr=[np.maximum(top - low, 0), np.maximum(high - top, 0)],
                linestyle="",
                marker="os^D"[i % 4],
                color=PALETTE[i],
                label=f"{group} ({values['n']})",
            )
        axes.set_yticks(range(len(names)), labels=names)
        axes.tick_params(axis="y", which="both", length=0)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlim(0, 1)
        axes.set_xlabel("Fraction with the chosen reference ranked first")
        fig.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4)
        label(toy=toy).draw(axes)
    numbers = {name: values["rankers"] for name, values in groups.items()}
    save(
        Drawing("top1", fig, {"groups": numbers}, "Reference ranked first", "Bars: 95 % block bootstrap."),
        folder,
    )


def write_promotions(folder: Path, ranked: Sequence[Promoted]) -> None:
    """``promote.csv``."""
    rows = [{**one.to_json(), "reasons": "; ".join(one.reasons)} for one in ranked]
    _write(folder / "promote.csv", rows)


def promotion_headline(ranked: Sequence[Promoted], run_class: str) -> str:
    """The run to promote in words."""
    best = ranked[0]
    return f"Promote run {best.run} for {run_class}: {'; '.join(best.reasons)}."


def write_promotion_check(folder: Path, found: PromotionEvaluation) -> None:
    """``rankers.csv``: how well each would have done; ``promotions.csv``: the scored ones, a row each."""
    scores = found.to_json()["rankers"]
    _write(folder / "rankers.csv", [{"ranker": name, **values} for name, values in scores.items()])
    _write(folder / "promotions.csv", found.table)


def write_fetched(folder: Path, content: Mapping[str, Any]) -> None:
    """``fetch.csv``: what of each resource came, was there, or is missing."""
    rows = []
    for name in dict.fromkeys([*content["stored"], *content["from_cache_by_resource"]]):
        missing = [item["range"] for item in content["failed"] if item["resource"] == name]
        rows.append({
            "resource": name, "stored": content["stored"].get(name, 0),
            "from_cache": content["from_cache_by_resource"].get(name, 0),
            "missing": " ".join(f"{found[0]}-{found[1]}" if found else "all" for found in missing) or None,
        })  # fmt: skip
    _write(folder / "fetch.csv", rows)


def promotion_check_headline(content: Mapping[str, Any]) -> str:
    """How well past promotions would have been foreseen."""
    if not content["scored"]:
        return f"{content['promotions']} promotions, none of which can be scored."
    said = ", ".join(f"{name} {scores['mrr']:.4f}" for name, scores in content["rankers"].items())
    return (f"{content['promotions']} references came into use, {content['scored']} can be scored; mean "
            f"reciprocal rank: {said}.")  # fmt: skip
