"""Credentials, looked at before anything is submitted: present, of the right VO, valid long enough.

Nothing secret is printed, logged or kept in a run: only paths of files that the user's own tools wrote.
Jobs elsewhere get a copy in the cache folder that only the user can read.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import json
import os
import re
import shlex
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from femtobarn.errors import StoreError, UsageError
from femtobarn.folders import cache_root
from femtobarn.net.settings import network_variables
from femtobarn.run.resources import Site, seconds_of

__all__ = ["Credential", "check", "copies_for_jobs", "forget", "job_exports"]

#: Servers of public data: they ask nobody who he is.
_PUBLIC: Final = ("eospublic.cern.ch", "eospublic", "localhost", "127.0.0.1")
_KINDS: Final = ("proxy", "kerberos", "token")
#: Without a stated time limit a job is taken to need this long, s.
_USUAL: Final = 4 * 3600
#: The environment variable by which programs find each kind.
_VARIABLE: Final = {"proxy": "X509_USER_PROXY", "kerberos": "KRB5CCNAME", "token": "BEARER_TOKEN_FILE"}
_HOW: Final = {
    "kerberos": "kinit -l {hours}h -f",
    "token": "oidc-token ISSUER > $BEARER_TOKEN_FILE   (or htgettoken)",
}


@dataclass(frozen=True, slots=True)
class Credential:
    """A file that proves who the user is, and for how long."""

    kind: str
    path: Path
    seconds_left: float
    vos: tuple[str, ...] = ()


def check(addresses: Iterable[str], site: Site, voms: str | None = None) -> list[Credential]:
    """The credentials that jobs need to reach these addresses, checked.

    Local files, https and servers of public data need none.  What is needed is what ``--voms`` or the
    site says; where neither does, any kind that is at hand.

    Raises
    ------
    UsageError
        One is absent, of another VO, or ends before the jobs may; the command to type is in it.
    """
    hosts = sorted({_host(url) for url in addresses} - {""})
    wanted = ["proxy"] if voms is not None else list(site.credentials)
    if not hosts and voms is None:
        return []
    needed = seconds_of(site.walltime) if site.walltime is not None else _USUAL
    hours = -(-needed // 3600)
    found = {kind: look() for kind, look in _LOOK.items()}
    if not wanted:
        wanted = [kind for kind, one in found.items() if one is not None][:1]
    if not wanted:
        raise UsageError(
            f"no credential for {', '.join(hosts)}: no grid proxy, Kerberos ticket or bearer token",
            action=f"get one, for example: {_command('proxy', voms, hours)}",
        )
    good = []
    for kind in wanted:
        one = found[kind]
        again = f"type: {_command(kind, voms, hours)}"
        if one is None:
            raise UsageError(f"there is no {_NAME[kind]}", action=again)
        if voms is not None and voms not in one.vos:
            has = f"is of {', '.join(one.vos)}" if one.vos else "names no VO"
            raise UsageError(f"the {_NAME[kind]} {has}, not of {voms}", where=str(one.path), action=again)
        if one.seconds_left < needed:
            left = "has ended" if one.seconds_left <= 0 else f"ends in {one.seconds_left / 3600:.1f} h"
            raise UsageError(f"the {_NAME[kind]} {left}; jobs may take {needed / 3600:.1f} h",
                             where=str(one.path), action=again)  # fmt: skip
        good.append(one)
    return good


_NAME: Final = {"proxy": "grid proxy", "kerberos": "Kerberos ticket", "token": "bearer token"}


def _command(kind: str, voms: str | None, hours: int) -> str:
    if kind == "proxy":
        return f"voms-proxy-init -voms {voms or 'cms'} -valid {max(hours, 24)}:00"
    return _HOW[kind].format(hours=hours)


def _host(url: str) -> str:
    """The server that wants to know who asks; empty if none does."""
    plain = url.rsplit("::", 1)[-1]
    parts = urlsplit(plain)
    if parts.scheme not in ("root", "roots", "xroot", "davs"):
        return ""
    host = parts.hostname or ""
    return "" if host in _PUBLIC else host


def _output(command: Sequence[str]) -> str | None:
    """What a command says; None if it is absent or refuses."""
    if shutil.which(command[0]) is None:
        return None
    environment = os.environ | {"LC_ALL": "C"}
    try:
        done = subprocess.run(  # noqa: S603 - our own words
            command, capture_output=True, text=True, check=False, timeout=30, env=environment
        )
    except subprocess.TimeoutExpired:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _proxy() -> Credential | None:
    path = Path(os.environ.get("X509_USER_PROXY") or f"/tmp/x509up_u{os.getuid()}")  # noqa: S108 - its place
    if not path.is_file():
        return None
    left = _output(["voms-proxy-info", "-file", str(path), "-timeleft"])
    if left is not None and left.lstrip("-").isdigit():
        vos = _output(["voms-proxy-info", "-file", str(path), "-vo"]) or ""
        return Credential("proxy", path, float(left), tuple(vos.split()))
    ends = _output(["openssl", "x509", "-noout", "-enddate", "-in", str(path)])
    if ends is None:
        return Credential("proxy", path, 0.0, _named_vos(path))
    text = ends.removeprefix("notAfter=").strip().replace("GMT", "+0000")
    when = dt.datetime.strptime(text, "%b %d %H:%M:%S %Y %z")
    return Credential("proxy", path, when.timestamp() - time.time(), _named_vos(path))


def _named_vos(path: Path) -> tuple[str, ...]:
    """VOs of a proxy where no VOMS tool is at hand: its attributes are plain text in it (/cms/Role=...)."""
    found: set[str] = set()
    for block in re.findall(rb"-----BEGIN CERTIFICATE-----(.+?)-----END", path.read_bytes(), re.DOTALL):
        try:
            data = base64.b64decode(block)
        except binascii.Error:
            continue
        found |= {name.decode() for name in re.findall(rb"/([a-z0-9.-]+)(?:/[\w.-]+)*/Role=", data)}
    return tuple(sorted(found))


def _kerberos() -> Credential | None:
    said = _output(["klist"])
    if said is None:
        return None
    cache = re.search(r"cache: (?:FILE:)?(\S+)", said)
    ends = [_klist_time(line) for line in said.splitlines() if "krbtgt/" in line]
    left = max((end for end in ends if end is not None), default=0.0) - time.time()
    return Credential("kerberos", Path(cache[1] if cache else "ticket"), left)


def _klist_time(line: str) -> float | None:
    """When a ticket ends: the second date of its line."""
    dates = re.findall(r"\d\d/\d\d/\d{2,4} +\d\d:\d\d:\d\d", line)
    if len(dates) < 2:
        return None
    text = re.sub(" +", " ", dates[1])
    form = "%m/%d/%Y %H:%M:%S" if len(text.split()[0]) == len("01/01/2026") else "%m/%d/%y %H:%M:%S"
    return dt.datetime.strptime(text, form).astimezone().timestamp()


def _token() -> Credential | None:
    runtime = os.environ.get("XDG_RUNTIME_DIR") or "/tmp"  # noqa: S108 - where the convention puts it
    path = Path(os.environ.get("BEARER_TOKEN_FILE") or f"{runtime}/bt_u{os.getuid()}")
    if not path.is_file():
        return None
    try:
        body = path.read_text().strip().split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        left = float(claims["exp"]) - time.time()
    except (IndexError, ValueError, KeyError, TypeError):
        left = float("inf")  # an opaque token does not say when it ends
        claims = {}
    groups = claims.get("wlcg.groups") or []
    return Credential("token", path, left, tuple(str(group).strip("/").split("/")[0] for group in groups))


_LOOK: Final = {"proxy": _proxy, "kerberos": _kerberos, "token": _token}


def _folder() -> Path:
    return cache_root() / "credentials"


def copies_for_jobs(credentials: Iterable[Credential]) -> dict[str, str]:
    """{environment variable: path} of copies that jobs on other machines can read, nobody else's (0600)."""
    found = {}
    for one in credentials:
        try:
            _folder().mkdir(parents=True, exist_ok=True, mode=0o700)
            path = _folder() / f"{one.kind}-{uuid.uuid4().hex}"
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
                out.write(one.path.read_bytes())
        except OSError as error:
            raise StoreError(f"the {_NAME[one.kind]} cannot be copied for the jobs: {error.strerror}",
                             where=str(_folder())) from error  # fmt: skip
        found[_VARIABLE[one.kind]] = str(path)
    return found


def job_exports(copies: Mapping[str, str]) -> list[str]:
    """Shell lines that give a job its credentials and the settings of the network that hold here."""
    variables = {**copies, **network_variables()}
    return [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]


def forget(copies: Iterable[str]) -> None:
    """Remove copies that no job needs any more."""
    for path in map(Path, copies):
        if path.parent == _folder():
            path.unlink(missing_ok=True)
