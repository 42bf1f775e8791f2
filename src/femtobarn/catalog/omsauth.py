"""Ways to prove who asks: nothing, client credentials (OIDC), a device code, or a Kerberos cookie.

Secrets come from the environment or the keyring and live in memory only.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from femtobarn.errors import NetworkError, UsageError, nearest
from femtobarn.net import HttpClient, Limits

__all__ = ["AUTHS", "Auth", "make_auth"]

AUTHS: Final = ("none", "oidc", "device", "krb")
ID_VARIABLE: Final = "FEMTOBARN_OMS_CLIENT_ID"
SECRET_VARIABLE: Final = "FEMTOBARN_OMS_CLIENT_SECRET"  # noqa: S105 (the name of a variable)
#: The realm of CERN's single sign-on and the audience of OMS; both may be overridden for other servers.
TOKEN_URL: Final = "https://auth.cern.ch/auth/realms/cern/protocol/openid-connect/token"  # noqa: S105
DEVICE_URL: Final = "https://auth.cern.ch/auth/realms/cern/protocol/openid-connect/auth/device"
AUDIENCE: Final = "cmsoms-prod"
_KEYRING: Final = "femtobarn-oms"
_GRACE: Final = 30.0


class Auth(Protocol):
    """Headers for a request, and another try after a refusal."""

    def headers(self) -> Mapping[str, str]: ...

    def renew(self) -> None: ...


class NoAuth:
    """For servers that ask nobody."""

    def headers(self) -> Mapping[str, str]:
        return {}

    def renew(self) -> None:
        return None


@dataclass
class TokenAuth:
    """A bearer token that is asked for when it is needed and again when it is old."""

    ask: Callable[[], dict[str, Any]] = field(repr=False)
    clock: Callable[[], float] = field(default=time.time, repr=False)
    _token: str = field(default="", repr=False)
    _until: float = field(default=0.0, repr=False)

    def headers(self) -> Mapping[str, str]:
        if not self._token or self.clock() > self._until - _GRACE:
            self.renew()
        return {"Authorization": f"Bearer {self._token}"}

    def renew(self) -> None:
        found = self.ask()
        token = found.get("access_token")
        if not isinstance(token, str) or not token:
            raise NetworkError(
                "the token server answered without a token", action="check the client registration"
            )
        self._token = token
        self._until = self.clock() + float(found.get("expires_in") or 300.0)


@dataclass
class CookieAuth:
    """Cookies of a Kerberos ticket, by CERN's own command."""

    url: str
    _cookies: str = field(default="", repr=False)

    def headers(self) -> Mapping[str, str]:
        if not self._cookies:
            self.renew()
        return {"Cookie": self._cookies}

    def renew(self) -> None:
        import tempfile

        with tempfile.NamedTemporaryFile(suffix=".cookies") as file:
            try:
                subprocess.run(["auth-get-sso-cookie", "-u", self.url, "-o", file.name],  # noqa: S603, S607
                               check=True, capture_output=True, timeout=60)  # fmt: skip
            except FileNotFoundError as error:
                raise UsageError(
                    "auth-get-sso-cookie is not installed",
                    where="--auth krb",
                    action="install it (auth-get-sso-cookie), or use --auth oidc",
                ) from error
            except (subprocess.SubprocessError, OSError) as error:
                raise NetworkError("no cookie was given for the Kerberos ticket", where="--auth krb",
                                   action="run kinit, then try again") from error  # fmt: skip
            lines = file.read().decode(errors="replace").splitlines()
        fields = [line.removeprefix("#HttpOnly_").split("\t") for line in lines]
        self._cookies = "; ".join(f"{row[5]}={row[6]}" for row in fields if len(row) >= 7)


def _secret(variable: str, *, needed: bool = True) -> str:
    """A secret from the environment, else from the keyring.

    Raises
    ------
    UsageError
        Naming the variable.
    """
    value = os.environ.get(variable, "")
    if not value:
        try:
            import keyring  # type: ignore[import-not-found]
        except ImportError:
            pass
        else:
            value = keyring.get_password(_KEYRING, variable) or ""
    if not value and needed:
        raise UsageError(f"{variable} is not set", where="--auth",
                         action=f"export {variable}=..., or: keyring set {_KEYRING} {variable}")  # fmt: skip
    return value


def make_auth(
    kind: str, url: str, *, tell: Callable[[str], None] | None = None, limits: Limits | None = None
) -> Auth:
    """The way of ``--auth``; secrets that it needs must be there."""
    if kind == "none":
        return NoAuth()
    if kind == "krb":
        return CookieAuth(url)
    token_url = os.environ.get("FEMTOBARN_OMS_TOKEN_URL", TOKEN_URL)
    audience = os.environ.get("FEMTOBARN_OMS_AUDIENCE", AUDIENCE)
    if kind == "oidc":
        form = {"grant_type": "client_credentials", "client_id": _secret(ID_VARIABLE),
                "client_secret": _secret(SECRET_VARIABLE), "audience": audience}  # fmt: skip
        return TokenAuth(lambda: _token(token_url, form, limits))
    if kind == "device":
        client = _secret(ID_VARIABLE)
        return TokenAuth(lambda: _device(client, token_url, tell or (lambda _: None), limits))
    raise UsageError(f"there is no way {kind!r} to log in", where="--auth", near=nearest(kind, AUTHS),
                     action=f"known are {', '.join(AUTHS)}")  # fmt: skip


def _token(url: str, form: Mapping[str, str], limits: Limits | None) -> dict[str, Any]:
    with HttpClient(limits) as client:
        answer = client.post(url, form)
    if answer.status != 200:
        raise NetworkError(f"the token server refuses the client ({answer.status})", where=url,
                           action=f"check {ID_VARIABLE} and {SECRET_VARIABLE}")  # fmt: skip
    return dict(answer.json())


def _device(
    client_id: str, token_url: str, tell: Callable[[str], None], limits: Limits | None
) -> dict[str, Any]:
    """The device flow: a person opens a page and types a code."""
    device_url = os.environ.get("FEMTOBARN_OMS_DEVICE_URL", DEVICE_URL)
    with HttpClient(limits) as client:
        begun = client.post(device_url, {"client_id": client_id}).json()
        shown = begun.get("verification_uri_complete") or begun.get("verification_uri")
        tell(f"open {shown} and confirm the code {begun.get('user_code')}")
        form = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "client_id": client_id,
                "device_code": str(begun.get("device_code"))}  # fmt: skip
        until = time.monotonic() + float(begun.get("expires_in") or 300)
        while time.monotonic() < until:
            time.sleep(float(begun.get("interval") or 5))
            answer = client.post(token_url, form)
            if answer.status == 200:
                return dict(answer.json())
            if answer.json().get("error") not in ("authorization_pending", "slow_down"):
                break
    raise NetworkError("the login was not confirmed", where=device_url, action="try again")
