"""Deliver columns: a specification in, verified files out, or one error that names every file that failed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from femtobarn.analysis import Parameters
from femtobarn.deliver import cache, placing
from femtobarn.deliver.delivered import Delivered, Options, SampleResult
from femtobarn.deliver.inputs import Input, find_inputs
from femtobarn.deliver.job import ANALYSIS, analysis, output_of
from femtobarn.deliver.queries import LANGUAGES
from femtobarn.deliver.remote import deliver_remote
from femtobarn.deliver.rootfile import find_tree, open_root
from femtobarn.deliver.spec import Sample, Spec, read_spec
from femtobarn.errors import FemtobarnError, LossError, UsageError, nearest
from femtobarn.folders import cache_root
from femtobarn.records import Dataset, Part
from femtobarn.run.choosing import choose
from femtobarn.run.engine import Progress, execute
from femtobarn.run.executors import processors
from femtobarn.run.fingerprint import digest
from femtobarn.run.plan import FilePlan, Plan

__all__ = ["deliver", "deliver_spec", "explain"]

log: Final = logging.getLogger("femtobarn.deliver")

#: Worth the start of worker processes [bytes of input].
_WORTH_WORKERS: Final = 200e6
_SHOWN: Final = 8


def deliver(
    spec: Any,
    config_path: str | None = None,
    servicex_name: str | None = None,
    *,
    backend: str = "local",
    out: str | Path | None = None,
    workers: int | None = None,
    allow_missing: bool = False,
    allow_python: bool = False,
    merge: bool = False,
    target_size: int | None = None,
    missing: str = "error",
    ignore_local_cache: bool = False,
    progress: Callable[[Plan], Progress] | None = None,
) -> dict[str, list[str]]:
    """Deliver what a specification asks for: ``{sample: [path, ...]}``.

    Parameters
    ----------
    spec : path of a ServiceX file, a dictionary as one holds it, or the official client's ``ServiceXSpec``
    config_path, servicex_name : configuration and endpoint of a ServiceX server (backend ``servicex``)
    backend : ``local`` runs the queries here, ``servicex`` on a server by the official client
    out, workers, allow_missing, allow_python, merge, target_size, missing : see :class:`Options`
    ignore_local_cache : make everything anew
    progress : called with the plan; what it returns is called after every file

    Raises
    ------
    ConfigError, UsageError
        The specification is wrong, or asks for what was not allowed.
    LossError
        Files failed; nothing counts as delivered, each file has its reason.
    """
    options = Options(
        Path(out) if out is not None else None, workers, allow_missing, allow_python, merge, target_size,
        missing, ignore_local_cache,
    )  # fmt: skip
    if backend == "servicex":
        return deliver_remote(
            read_spec(spec), options, endpoint=servicex_name, config_path=config_path
        ).answer()
    if backend != "local":
        raise UsageError(f"unknown backend {backend!r}", near=nearest(backend, ("local", "servicex")))
    return deliver_spec(read_spec(spec), options, progress=progress).answer()


def deliver_spec(
    spec: Spec, options: Options, *, progress: Callable[[Plan], Progress] | None = None
) -> Delivered:
    """Deliver on this machine; :func:`deliver` says what may go wrong."""
    _check(spec, options)
    inputs = _all_inputs(spec, options)
    planned, keys = _plan(spec, options, inputs)
    store, kind = cache.delivery_store(), spec.general.format
    folder = options.out or spec.general.directory
    with placing.held(folder):
        fresh = {s.name for s in spec.samples if s.ignore_cache or options.ignore_cache}
        for part, key in zip(planned.parts, keys, strict=True):
            if part.dataset in fresh:
                cache.forget(store, key)
            else:
                cache.valid_record(store, key, kind)
        workers = _workers(options, planned)
        name, executor = choose("serial" if workers == 1 else "processes", workers=workers,
                                parts=len(planned.parts), events=0)  # fmt: skip
        log.debug("%d files, executor %s", len(planned.parts), name)
        ledger = _ledger(folder, spec, keys)
        ledger.parent.mkdir(parents=True, exist_ok=True)
        result = execute(
            planned, analysis, executor, store, parameters=Parameters(), source=ANALYSIS, ledger=ledger,
            keys=keys, progress=progress(planned) if progress is not None else None,
        )  # fmt: skip
        rows = _rows(planned, keys, result, kind)
        try:
            _refuse_loss(spec, rows, options, ledger)
        except FemtobarnError:
            placing.withdraw(folder, spec.general.name)
            raise
        found = _results(spec, rows, options, folder)
        fileset = placing.write_fileset(folder, spec, found, result.summary.to_json(), options.allow_missing)
    return Delivered(found, fileset, spec.general.delivery == "URLs", result.summary.to_json())


def _check(spec: Spec, options: Options) -> None:
    """Refuse what this machine will not do, before any file is touched."""
    if options.missing not in ("error", "none"):
        raise UsageError(f"--missing must be error or none, not {options.missing!r}")
    if options.workers is not None and options.workers < 1:
        raise UsageError(f"--workers must be at least 1, not {options.workers}")
    if options.target_size is not None and options.target_size < 1:
        raise UsageError("--target-size must be at least one byte")
    for sample in spec.samples:
        if sample.query.codegen not in LANGUAGES:
            raise UsageError(
                f"sample {sample.name!r}: {sample.query.codegen!r} runs on a ServiceX server only",
                where=sample.where or None, action="use --backend servicex",
            )  # fmt: skip
        if sample.query.is_code and not options.allow_python:
            raise UsageError(
                f"sample {sample.name!r} brings Python code, which is not run unless you say so",
                where=sample.where or None, action="read the code, then add --allow-python",
            )  # fmt: skip


def _all_inputs(spec: Spec, options: Options) -> dict[str, list[Input]]:
    return {
        sample.name: find_inputs(sample, spec.folder, refresh=sample.ignore_cache or options.ignore_cache)
        for sample in spec.samples
    }


def _plan(spec: Spec, options: Options, inputs: Mapping[str, list[Input]]) -> tuple[Plan, list[str]]:
    """One part a file of each sample, and its key in the cache."""
    datasets: list[Dataset] = []
    files: list[FilePlan] = []
    parts: list[Part] = []
    keys: list[str] = []
    for sample in spec.samples:
        asked = {"codegen": sample.query.codegen, "query": sample.query.text, "format": spec.general.format,
                 "missing": options.missing}  # fmt: skip
        refs = tuple(item.ref for item in inputs[sample.name])
        datasets.append(Dataset(sample.name, refs, asked))
        for item in inputs[sample.name]:
            parts.append(Part(len(parts), sample.name, len(files), 0, 0))
            files.append(FilePlan(sample.name, item.ref, uuid=item.ref.uuid or "", size=item.ref.size or 0,
                                  error=item.error))  # fmt: skip
            key = cache.key_of(sample.query, spec.general.format, options.missing, item.ref)
            keys.append(digest([key, item.ref.url]) if item.error else key)
    totals = dict.fromkeys((sample.name for sample in spec.samples), 0)
    return Plan(tuple(datasets), tuple(files), tuple(parts), totals), keys


def _workers(options: Options, planned: Plan) -> int:
    if options.workers is not None:
        return min(options.workers, len(planned.parts))
    if len(planned.parts) == 1 or sum(file.size for file in planned.files) < _WORTH_WORKERS:
        return 1
    return min(processors(), len(planned.parts))


def _ledger(folder: Path | None, spec: Spec, keys: Sequence[str]) -> Path:
    if folder is not None:
        return folder / "ledger.jsonl"
    return cache_root() / "deliver" / "ledgers" / f"{digest([spec.file, *keys])[:32]}.jsonl"


def _rows(planned: Plan, keys: Sequence[str], result: Any, kind: str) -> dict[str, list[dict[str, Any]]]:
    """For each sample, what its files gave, in order."""
    store = cache.delivery_store()
    rows: dict[str, list[dict[str, Any]]] = {dataset.name: [] for dataset in planned.datasets}
    records = {shard.part: shard for shard in result.outcome.tables.get("delivery", [])}
    for part, key in zip(planned.parts, keys, strict=True):
        ref, entry = planned.files[part.file].ref, result.entries[part.number]
        row: dict[str, Any] = {
            "input": ref.url, "uuid": ref.uuid, "input_size": ref.size, "key": key, "state": entry.state,
            "error": entry.error, "path": None, "entries": 0, "events": 0, "bytes_read": 0,
        }  # fmt: skip
        if entry.good and part.number in records:
            record = {name: column[0].item() for name, column in records[part.number].columns.items()}
            row |= {
                name: record[name]
                for name in ("size", "sha256", "entries", "events", "bytes_read", "columns")
            }
            row["path"] = output_of(store.path(key), kind) if record["file"] else None
        rows[part.dataset].append(row)
    return rows


def _refuse_loss(
    spec: Spec, rows: Mapping[str, Sequence[Mapping[str, Any]]], options: Options, ledger: Path
) -> None:
    failed = [row for sample in spec.samples for row in rows[sample.name] if row["error"]]
    total = sum(map(len, rows.values()))
    if failed and (not options.allow_missing or len(failed) == total):
        shown = "\n".join(f"  - {row['error']}" for row in failed[:_SHOWN])
        more = f"\n  - and {len(failed) - _SHOWN} more" if len(failed) > _SHOWN else ""
        raise LossError(
            f"{len(failed)} of {total} files failed; nothing is delivered\n{shown}{more}",
            where=spec.file or None,
            action="mend these files and repeat, or deliver the rest with --allow-missing "
            f"(ledger: {ledger})",
        )
    for sample in spec.samples:
        if not any(row["path"] for row in rows[sample.name]) and not failed:
            raise LossError(
                f"sample {sample.name!r}: none of its {len(rows[sample.name])} files has the trees that the "
                "query names",
                where=sample.where or None,
            )


def _results(
    spec: Spec, rows: Mapping[str, list[dict[str, Any]]], options: Options, folder: Path | None
) -> tuple[SampleResult, ...]:
    found = []
    for sample in spec.samples:
        mine = rows[sample.name]
        warnings = []
        without = sum(1 for row in mine if not row["path"] and not row["error"])
        if without:
            warnings.append(f"{without} of {len(mine)} files lack the tree and count as empty")
        lost = sum(1 for row in mine if row["error"])
        if lost:
            warnings.append(f"{lost} of {len(mine)} files are lost ({lost / len(mine):.1%})")
        files = placing.place(sample, mine, spec.general.format, folder, merge=options.merge,
                              target_size=options.target_size)  # fmt: skip
        found.append(SampleResult(sample.name, tuple(files), tuple(mine), tuple(warnings)))
        for sentence in warnings:
            log.warning("sample %s: %s", sample.name, sentence)
    return tuple(found)


def explain(spec: Spec, options: Options | None = None) -> dict[str, Any]:
    """What a delivery would read: columns, bytes, files, parts.  Only metadata is read."""
    asked = options or Options(allow_python=True)
    _check(spec, replace(asked, allow_python=True))
    samples = []
    for sample in spec.samples:
        inputs = find_inputs(sample, spec.folder)
        samples.append(_explained(sample, inputs, spec.general.format, asked))
    return {
        "schema_version": 1, "format": spec.general.format, "samples": samples,
        "files": sum(len(sample["files"]) for sample in samples),
        "bytes": sum(sample["bytes"] for sample in samples),
    }  # fmt: skip


def _explained(sample: Sample, inputs: Sequence[Input], kind: str, options: Options) -> dict[str, Any]:
    store = cache.delivery_store()
    files: list[dict[str, Any]] = []
    for item in inputs:
        row: dict[str, Any] = {"input": item.ref.url, "size": item.ref.size, "error": item.error}
        if not item.error:
            row["cached"] = cache.key_of(sample.query, kind, options.missing, item.ref) in store
            try:
                row |= _metadata(sample, item)
            except FemtobarnError as error:
                row["error"] = str(error)
        files.append(row)
    return {
        "sample": sample.name, "language": sample.query.language, "query": sample.query.text,
        "columns": sample.query.columns(), "files": files, "parts": len(files),
        "entries": sum(row.get("entries", 0) for row in files),
        "bytes": sum(row.get("bytes", 0) for row in files),
    }  # fmt: skip


def _metadata(sample: Sample, item: Input) -> dict[str, Any]:
    """Entries of the tree and compressed bytes of the columns a query reads."""
    from femtobarn.deliver import explaining

    with open_root(item.ref) as opened:
        return explaining.weigh(sample.query, opened.file, find_tree, where=item.ref.url)
