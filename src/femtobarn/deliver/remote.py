"""The other backend: the same specification sent to a ServiceX server by its official client.

The client returns an empty or shorter list when files failed; here that is an error.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from femtobarn.deliver import cache, placing
from femtobarn.deliver.delivered import Delivered, Options, SampleResult
from femtobarn.deliver.endpoints import find_endpoints
from femtobarn.deliver.spec import Sample, Spec
from femtobarn.errors import LossError, UsageError

__all__ = ["deliver_remote"]

log: Final = logging.getLogger("femtobarn.deliver")

_FORMATS: Final = {"root-ttree": "root_ttree", "parquet": "parquet", "root-rntuple": "root_rntuple"}


def deliver_remote(
    spec: Spec, options: Options, *, endpoint: str | None = None, config_path: str | None = None
) -> Delivered:
    """Deliver by a server; outputs are those that the client downloads.

    Raises
    ------
    UsageError
        The package ``servicex`` is not installed, or there is no such endpoint.
    LossError
        The server failed, or gave fewer outputs than there are files.
    """
    try:
        from servicex.servicex_client import ServiceXClient
    except ImportError as error:
        raise UsageError("the ServiceX client is not installed",
                         action="pip install 'femtobarn[servicex]'") from error  # fmt: skip
    if options.merge or options.target_size is not None:
        raise UsageError("a server's outputs are not joined", action="leave --merge and --target-size out")
    chosen = find_endpoints(config_path)
    one = chosen.choose(endpoint)
    client = ServiceXClient(backend=one.name, config_path=str(chosen.file))
    queries = [_query(client, sample, spec, options) for sample in spec.samples]
    urls = spec.general.delivery == "URLs"
    answers = _awaited(_gather(queries, urls=urls))
    if urls and not all(_reachable(address) for address in _addresses(answers)):
        log.warning("%s refuses the addresses it has signed; the outputs are downloaded instead", one.url)
        urls = False
        queries = [_query(client, sample, spec, options) for sample in spec.samples]
        answers = _awaited(_gather(queries, urls=False))
    folder = options.out or spec.general.directory
    with placing.held(folder):
        each = zip(spec.samples, queries, answers, strict=True)
        problems = [_problem(sample, query, answer, urls=urls) for sample, query, answer in each]
        failed = [problem for problem in problems if problem]
        if failed:
            placing.withdraw(folder, spec.general.name)
            said = "\n".join(f"  - {problem}" for problem in failed)
            raise LossError(f"the server did not deliver everything\n{said}", where=one.url)
        if urls:
            listed = {s.name: list(a.signed_url_list) for s, a in zip(spec.samples, answers, strict=True)}
            found = [SampleResult(s.name, (), (), (), tuple(listed[s.name])) for s in spec.samples]
        else:
            found = [_result(s, a, spec, folder) for s, a in zip(spec.samples, answers, strict=True)]
        fileset = placing.write_fileset(folder, spec, found, {}, partial=False)
    return Delivered(tuple(found), fileset, urls=False)


def _awaited(work: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine returns; from a notebook, whose event loop runs already, through another thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def _query(client: Any, sample: Sample, spec: Spec, options: Options) -> Any:
    from servicex.models import ResultFormat
    from servicex.query_core import GenericQueryStringGenerator

    generator = GenericQueryStringGenerator(sample.query.selection, sample.query.codegen)
    return client.generic_query(
        dataset_identifier=_dataset(sample, spec), query=generator, codegen=sample.query.codegen,
        title=sample.name, result_format=getattr(ResultFormat, _FORMATS[spec.general.format]),
        ignore_cache=sample.ignore_cache or options.ignore_cache, fail_if_incomplete=True,
    )  # fmt: skip


def _dataset(sample: Sample, spec: Spec) -> Any:
    from servicex.dataset_identifier import DataSetIdentifier, FileListDataset

    if not sample.address:
        return FileListDataset([_absolute(name, spec.folder) for name in sample.files][: sample.most])
    scheme, _, name = sample.address.partition("://")
    return DataSetIdentifier(scheme, name, sample.most)


def _absolute(name: str, folder: Path) -> str:
    if "://" in name or not (folder / name).exists():
        return name
    return str((folder / name).resolve())


async def _gather(queries: list[Any], *, urls: bool) -> list[Any]:
    from servicex.dataset_group import DatasetGroup

    group = DatasetGroup(queries)
    ask = group.as_signed_urls_async if urls else group.as_files_async
    answers: list[Any] = await ask(display_progress=False, return_exceptions=True)
    return answers


def _addresses(answers: list[Any]) -> list[str]:
    """The first signed address of each sample."""
    lists = [getattr(answer, "signed_url_list", None) for answer in answers]
    return [str(addresses[0]) for addresses in lists if addresses]


def _reachable(address: str) -> bool:
    """Whether a signed address gives anything: one byte is asked for."""
    import httpx

    try:
        answer = httpx.get(address, headers={"Range": "bytes=0-0"}, timeout=30, follow_redirects=True)
    except httpx.HTTPError:
        return False
    return answer.is_success


def _problem(sample: Sample, query: Any, answer: Any, *, urls: bool) -> str:
    """Why a sample is not complete; empty if it is."""
    if isinstance(answer, BaseException) or answer is None:
        reason = str(answer).strip().splitlines() if answer is not None else []
        return f"sample {sample.name!r}: {reason[0] if reason else 'the request failed'}"
    got = len(answer.signed_url_list if urls else answer.file_list)
    wanted = int(answer.files)
    if not sample.address:
        wanted = max(wanted, len(sample.files[: sample.most]))
    failed = int(getattr(query.current_status, "files_failed", 0) or 0)
    if failed or not got or got < wanted:
        return f"sample {sample.name!r}: {got} of {wanted} outputs, {failed} files failed"
    return ""


def _result(sample: Sample, answer: Any, spec: Spec, folder: Path | None) -> SampleResult:
    rows = []
    for name in sorted(answer.file_list):
        path = Path(name)
        rows.append({
            "input": path.name, "uuid": None, "input_size": None, "key": answer.request_id, "state": "done",
            "error": "", "path": path, "entries": 0, "events": 0, "bytes_read": 0, "columns": "{}",
            "size": path.stat().st_size, "sha256": cache.sha256_of(path),
        })  # fmt: skip
    files = placing.place(sample, rows, spec.general.format, folder)
    return SampleResult(sample.name, tuple(files), tuple(rows))
