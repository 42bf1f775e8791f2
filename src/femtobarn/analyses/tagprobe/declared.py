"""Which columns of a file tag and probe reads; declared before the first event."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from femtobarn.analyses.tagprobe.energy import energy_columns
from femtobarn.analyses.tagprobe.names import (
    DERIVED,
    Name,
    filter_names,
    is_trigger,
    meaning,
    path_candidates,
)
from femtobarn.analyses.tagprobe.parameters import TagProbeParameters
from femtobarn.analysis import Columns
from femtobarn.records import Dataset

__all__ = ["branch_of", "columns"]

_TRIGGER_OBJECTS = tuple(f"TrigObj_{name}" for name in ("pt", "eta", "phi", "id", "filterBits"))
_TRUTH = ("GenPart_pdgId", "GenPart_genPartIdxMother")
_WEIGHTS = ("genWeight", "Pileup_nTrueInt", "LHEWeight_originalXWGTUP")
#: Event columns that ``vars: all`` adds.
_EVENT = ("run", "luminosityBlock", "event", "PV_npvs", "Rho_*", "fixedGridRho*")
_LIST = ("pt", "eta", "phi")


def branch_of(name: Name, parameters: TagProbeParameters) -> str:
    """The file's name of a column; that of a flat file carries its prefix."""
    workflow = parameters.source
    if name.side == "event":
        return name.column
    if workflow.source == "nanoaod":
        return f"{workflow.probe if name.side == 'probe' else parameters.tag_collection}_{name.column}"
    return f"{workflow.prefix if name.side == 'probe' else workflow.tag_prefix}{name.column}"


def columns(parameters: TagProbeParameters, schema: str, dataset: Dataset) -> Columns:
    """All columns of one dataset."""
    source = parameters.source.source
    if source == "energy":
        found = energy_columns(parameters)
    elif source == "nanoaod":
        found = _nanoaod(parameters)
    else:
        found = _flat(parameters)
    extra = tuple(_plugin_columns(parameters))
    return found + Columns((), extra)


def _nanoaod(parameters: TagProbeParameters) -> Columns:
    probe, tag = parameters.source.probe, parameters.tag_collection
    needed: list[str] = list(_TRIGGER_OBJECTS)
    optional: list[str] = [*_WEIGHTS, *_TRUTH, "run", "luminosityBlock", "event"]
    for kind in dict.fromkeys((probe, tag)):
        needed += [f"{kind}_{name}" for name in _LIST]
        if kind != "Photon":
            needed.append(f"{kind}_charge")
            optional.append(f"{kind}_mass")
        optional += [f"{kind}_genPartIdx", f"{kind}_genPartFlav"]
        optional += _supercluster(kind, parameters)
    needed += _tag_needs(parameters, tag)
    needed.append(parameters.tag_trigger.path)
    if probe == "Photon":
        needed += ["Photon_electronIdx"]
        if tag == "Photon":
            needed += ["Photon_pixelSeed", "Electron_eta", "Electron_phi"]
            optional += _supercluster("Electron", parameters)
    for text in parameters.filters.values():
        if is_trigger(text):
            optional += path_candidates(text)
        else:
            _add(needed, optional, filter_names(text, parameters.source), parameters)
    for condition in (parameters.cutbased_id, parameters.extra_zcands_mask):
        if condition:
            _add(needed, optional, filter_names(condition, parameters.source), parameters)
    _variables(needed, optional, parameters)
    return _unique(needed, optional)


def _supercluster(kind: str, parameters: TagProbeParameters) -> list[str]:
    if kind == "Electron":
        return ["Electron_superclusterEta", "Electron_deltaEtaSC"] if parameters.use_sc_eta else []
    if kind == "Photon" and (parameters.use_sc_eta or parameters.use_sc_phi):
        return ["Photon_superclusterEta", "Photon_isScEtaEB", "Photon_isScEtaEE", "PV_x", "PV_y", "PV_z"]
    return []


def _tag_needs(parameters: TagProbeParameters, tag: str) -> list[str]:
    if tag == "Muon":
        return ["Muon_tightId", "Muon_pfRelIso04_all"]
    return [f"{tag}_cutBased"]


def _add(
    needed: list[str], optional: list[str], names: Iterable[Name], parameters: TagProbeParameters
) -> None:
    """Declare columns; those that can be made of others may be absent."""
    for name in names:
        if name.side == "pair":
            continue
        if name.side != "event" and name.column in DERIVED:
            optional.append(branch_of(name, parameters))
            kind = parameters.source.probe if name.side == "probe" else parameters.tag_collection
            optional += [f"{kind}_{other}" for other in DERIVED[name.column]]
            if kind == "Photon":
                optional += ["Photon_isScEtaEB", "Photon_isScEtaEE", "PV_x", "PV_y", "PV_z"]
        else:
            needed.append(branch_of(name, parameters))


def _variables(needed: list[str], optional: list[str], parameters: TagProbeParameters) -> None:
    for method in parameters.methods:
        if method.vars == "all":
            workflow = parameters.source
            if workflow.source == "nanoaod":
                optional += [
                    f"{kind}_*" for kind in dict.fromkeys((workflow.probe, parameters.tag_collection))
                ]
                optional += _EVENT
            else:
                optional.append("*")
            continue
        names: Any = parameters.variables(method)
        _add(needed, optional, [meaning(name, parameters.source) for name in names if not _is_weight(name)],
             parameters)  # fmt: skip


def _is_weight(name: str) -> bool:
    return name.startswith("weight")


def _flat(parameters: TagProbeParameters) -> Columns:
    needed: list[str] = []
    optional: list[str] = []
    layout = parameters.source.layout
    if layout is None:
        given = parameters.columns
        needed += [given[name] for name in ("tag_pt", "tag_eta", "probe_pt", "probe_eta", "mass")]
        needed += [given[name] for name in ("charge", "weight") if name in given]
        optional += [given.get(name, name) for name in ("run", "lumi", "event")]
    else:
        needed += [layout.pt, layout.eta, layout.tag_pt, layout.tag_eta, layout.mass]
        needed += [name for name in (layout.charge, layout.tag_charge) if name]
        if parameters.use_sc_eta:
            needed += [layout.sc_eta, layout.tag_sc_eta]
        optional += ["run", layout.lumi, "event", layout.interactions, layout.simulated, layout.generator]
        optional += ["*weight*", "*Weight*"]
    texts = [*parameters.filters.values(), parameters.cutbased_id or "", parameters.extra_zcands_mask or ""]
    for text in [one for one in texts if one]:
        if text.isidentifier():
            needed.append(text)
        else:
            optional.append(text)
            _add_flat(needed, optional, text, parameters)
    _variables(needed, optional, parameters)
    return _unique(needed, optional)


def _add_flat(needed: list[str], optional: list[str], text: str, parameters: TagProbeParameters) -> None:
    """Columns of an expression over a flat file, unless the whole text is a column itself."""
    for name in filter_names(text, parameters.source):
        said = text.find("events.") >= 0 or text.find("zcands.") >= 0 or parameters.source.source == "pairs"
        (needed if said else optional).append(branch_of(name, parameters))


def _plugin_columns(parameters: TagProbeParameters) -> Iterator[str]:
    """Columns that the user's filter mentions: ``events.Electron.pt``, ``events["MET_pt"]``."""
    if not parameters.extra_filter:
        return
    path = Path(parameters.extra_filter.rpartition("::")[0])
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            parts = [node.attr]
            inner: ast.expr = node.value
            while isinstance(inner, ast.Attribute):
                parts.append(inner.attr)
                inner = inner.value
            yield "_".join(reversed(parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            yield node.value


def _unique(needed: Iterable[str], optional: Iterable[str]) -> Columns:
    first = tuple(dict.fromkeys(needed))
    return Columns(first, tuple(name for name in dict.fromkeys(optional) if name not in first))
