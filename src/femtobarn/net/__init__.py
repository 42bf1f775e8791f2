"""One HTTP client for the whole package: cached, retrying, limited in time and in requests at once."""

from __future__ import annotations

from femtobarn.net.client import Answer, HttpClient, Limits, safe_url

__all__ = ["Answer", "HttpClient", "Limits", "safe_url"]
