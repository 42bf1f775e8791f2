"""One HTTP client for the whole package: cached, retrying, limited in time and in requests at once."""

from __future__ import annotations

from femtobarn.net.client import Answer, HttpClient, Limits, safe_url, shared_client
from femtobarn.net.remote import RemoteFile, bytes_received
from femtobarn.net.settings import NetSettings, net_settings, use_network

__all__ = [
    "Answer",
    "HttpClient",
    "Limits",
    "NetSettings",
    "RemoteFile",
    "bytes_received",
    "net_settings",
    "safe_url",
    "shared_client",
    "use_network",
]
