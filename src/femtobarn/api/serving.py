"""Serve the reference-run page, or deliveries behind ServiceX's protocol."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from femtobarn.api.refrun.records import RecordSources
from femtobarn.errors import UsageError

if TYPE_CHECKING:
    from femtobarn.deliver.requests import Rules

__all__ = ["serve", "serve_servicex"]


def serve(
    sources: RecordSources,
    make: Callable[[RecordSources], Any],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    tell: Callable[[str], None] | None = None,
) -> None:
    """Serve until stopped.

    Parameters
    ----------
    sources : where the records are
    make : makes the web application from them (:func:`femtobarn.web.app.create_app`)
    host : loopback unless said otherwise; the page asks nobody for a password
    """
    app = make(sources)
    if tell is not None:
        tell(f"http://{host}:{port}/refrun   (Ctrl-C stops)")
    _serve(app, host, port)


def serve_servicex(
    make: Callable[[Rules], Any],
    *,
    port: int = 5000,
    allow: Sequence[str | Path] = (),
    allow_python: bool = False,
    tell: Callable[[str], None] | None = None,
) -> None:
    """Serve deliveries to ServiceX clients on this machine until stopped.

    Parameters
    ----------
    make : makes the web application (:func:`femtobarn.web.servicex.create_servicex`)
    allow : folders below which requests may read local files; the current one if none is given
    allow_python : run code that requests bring along
    """
    from femtobarn.deliver.requests import Rules

    roots = [Path(folder).expanduser() for folder in allow or (".",)]
    absent = next((root for root in roots if not root.is_dir()), None)
    if absent is not None:
        raise UsageError("is no folder", where=str(absent), action="name folders with --allow")
    app = make(Rules(tuple(root.resolve() for root in roots), allow_python))
    if tell is not None:
        tell(f"http://127.0.0.1:{port}   (endpoint for servicex.yaml; Ctrl-C stops)")
    _serve(app, "127.0.0.1", port)


def _serve(app: Any, host: str, port: int) -> None:
    try:
        import uvicorn
    except ImportError as error:
        raise UsageError("the web server is not installed", action="pip install 'femtobarn[web]'") from error
    if not 0 < port < 65536:
        raise UsageError(f"{port} is no port", where="--port")
    uvicorn.run(app, host=host, port=port, log_level="warning", access_log=False)
