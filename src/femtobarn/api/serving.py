"""Serve the reference-run page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from femtobarn.api.refrun_records import RecordSources
from femtobarn.errors import UsageError

__all__ = ["serve"]


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
    try:
        import uvicorn
    except ImportError as error:
        raise UsageError("the web server is not installed", action="pip install 'femtobarn[web]'") from error
    if not 0 < port < 65536:
        raise UsageError(f"{port} is no port", where="--port")
    app = make(sources)
    if tell is not None:
        tell(f"http://{host}:{port}/refrun   (Ctrl-C stops)")
    uvicorn.run(app, host=host, port=port, log_level="warning", access_log=False)
