"""Where jobs go: sites, what they ask for, credentials, dashboards, shipped code."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import zipfile
from pathlib import Path

import pytest

from femtobarn import api
from femtobarn.errors import ConfigError, UsageError
from femtobarn.run.choosing import site_of
from femtobarn.run.credentials import check, copies_for_jobs, forget
from femtobarn.run.dask_cluster import free_address, job_options, lpc_options
from femtobarn.run.resources import ALIASES, Resources, Site, find_site, site_names
from femtobarn.run.shipping import job_lines, python_command, ship

ELSEWHERE = "root://cmsxrootd.fnal.gov//store/a.root"


@pytest.mark.parametrize("name", site_names())
def test_sites_that_come_along(name):
    site = find_site(name, Resources(memory="7GiB", scaleout=3))
    assert site.name == name
    assert (site.resources.memory, site.resources.scaleout) == ("7GiB", 3)


@pytest.mark.parametrize(("old", "new"), [("coffea_casa", "coffea-casa"), ("EAF", "eaf"), ("AF", "local")])
def test_old_names_of_sites(old, new):
    assert find_site(old).name == new
    assert set(ALIASES.values()) <= set(site_names())


@pytest.mark.parametrize(
    ("name", "site", "kind"),
    [
        ("dask/lxplus", None, "htcondor"),
        ("dask/slurm", None, "slurm"),
        ("dask", None, "local"),
        ("slurm", None, "slurm"),
        ("auto", "pbs", "pbs"),
        ("dask", "lpc", "htcondor"),
    ],
)
def test_where_an_executor_runs(name, site, kind):
    assert site_of(name, site, Resources()).kind == kind


@pytest.mark.parametrize("name", ["auto", "serial", "processes", "futures", "iterative", "dask://h:1"])
def test_executors_without_a_site(name):
    assert site_of(name, None, Resources()) is None


def test_old_names_of_executors(toy, tmp_path):
    for name in ("iterative", "futures"):
        toy.run(tmp_path / name, executor=name, workers=1)
    first, second = (api.open_run(tmp_path / name).manifest["execution"] for name in ("iterative", "futures"))
    assert (first["executor"], second["executor"]) == ("serial", "processes")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("kind: slrum", "kind must be one of"),
        ("kind: slurm\nmemroy: 2", r"unknown key 'memroy'"),
        ("kind: slurm\nresources: {memroy: 2}", r"unknown key 'memroy' \(did you mean 'memory'"),
        ("kind: slurm\nresources: {memory: much}", "is not a size"),
        ("kind: slurm\nresources: {memory: 2}", "is not a size"),
        ("kind: slurm\nresources: {walltime: long}", "is not a time"),
        ("kind: slurm\nresources: {cores: 0}", "must be a number from 1"),
        ("kind: slurm\nship: everything", "ship: 'everything' is not one of none, wheel"),
        ("kind: slurm\ncredentials: [passport]", "'passport' is not one of proxy"),
        ("kind: slurm\nsetup: 3", "setup must be a list of lines"),
        ("kind: slurm\nimage: 3", "image must be text"),
        ("kind: slurm\nwait: soon", "wait must be a number"),
        ("kind: slurm\nqueues: [a]", "queues is a table"),
        ("kind: scheduler", "needs its address"),
        ("- 1", "a site is a table"),
        ("a: [", "is not valid YAML"),
    ],
)
def test_a_site_with_mistakes(tmp_path, text, reason):
    (tmp_path / "site.yaml").write_text(text)
    with pytest.raises(ConfigError, match=reason):
        find_site(str(tmp_path / "site.yaml"))


def test_a_time_that_yaml_reads_as_a_number(tmp_path):
    (tmp_path / "site.yaml").write_text("kind: slurm\nresources: {walltime: 04:30:00}")
    assert find_site(str(tmp_path / "site.yaml")).walltime == "04:30:00"


def test_a_queue_that_the_site_does_not_have():
    assert find_site("lxplus").walltime == "02:00:00"
    with pytest.raises(ConfigError, match=r"no queue 'longlunc' \(did you mean 'longlunch'"):
        find_site("lxplus", Resources(queue="longlunc"))
    with pytest.raises(ConfigError, match="queue espresso allows 00:20:00"):
        find_site("lxplus", Resources(queue="espresso", walltime="02:00:00"))


def test_a_flag_beats_the_run_file_and_that_the_site(toy, tmp_path):
    (tmp_path / "run.yaml").write_text(
        f"analysis: {toy.analysis}\nfiles: {{data: {toy.folder}/data_a.root}}\nout: {tmp_path / 'run'}\n"
        "execution: {site: slurm, memory: 3GiB, walltime: '01:00:00', scaleout: 2}\n"
    )
    request = api.Request(what=str(tmp_path / "run.yaml"), resources=Resources(walltime="00:30:00"))
    api.submit(request, dry_run=True)
    text = (tmp_path / "run" / "batch" / "array.slurm").read_text()
    for line in ("mem=3072", "time=00:30:00", "cpus-per-task=1"):
        assert f"#SBATCH --{line}\n" in text


def test_arguments_of_dask_jobqueue():
    site = find_site("lxplus", Resources(walltime="01:00:00", dashboard_address="0.0.0.0:8790", cores=2))
    options = job_options(site)
    assert options["job_extra_directives"] == {"+JobFlavour": '"longlunch"', "+MaxRuntime": "3600"}
    assert (options["cores"], options["processes"], options["disk"]) == (2, 2, "2GiB")
    assert options["scheduler_options"]["dashboard_address"].startswith("0.0.0.0:879")
    pbs = job_options(find_site("pbs", Resources(queue="short")))
    assert (pbs["queue"], pbs["walltime"]) == ("short", "04:00:00")
    lpc = lpc_options(find_site("lpc"))
    assert lpc["transfer_input_files"][0].endswith(".whl")
    assert lpc["ship_env"] is False


def test_a_taken_port_moves_to_the_next_free_one(caplog):
    caplog.set_level("INFO", logger="femtobarn.notice")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        host, _, moved = free_address(str(port)).partition(":")
    assert host == "127.0.0.1"
    assert int(moved) > port
    assert f"port {port} is taken; the dashboard is at {moved}" in caplog.text
    with pytest.raises(UsageError, match=r"is not \[HOST:\]PORT"):
        free_address("here:there")


# Shipped code


def test_a_shipped_wheel_is_the_code_that_runs_here(tmp_path):
    site = Site("far", "htcondor", ship="wheel")
    wheel = ship(site)
    assert ship(site) == wheel
    assert "femtobarn/run/sites/lxplus.yaml" in zipfile.ZipFile(wheel).namelist()
    script = "\n".join(
        ["set -eu", *job_lines(site, wheel), 'python3 -c "import femtobarn; print(femtobarn.__file__)"']
    )
    environment = {"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path)}
    for _ in range(2):  # the second job finds it unpacked
        said = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True,
                              check=True, cwd=tmp_path)  # fmt: skip
        assert said.stdout.startswith(str(tmp_path / "femtobarn-"))


def test_a_shipped_environment_holds_the_packages(tmp_path, monkeypatch):
    import tarfile

    packages = tmp_path / "packages"
    for name in ("numpy", "femtobarn-0.1.dist-info", "__pycache__"):
        (packages / name).mkdir(parents=True)
        (packages / name / "file").write_text(name)
    monkeypatch.setattr("femtobarn.run.shipping.sysconfig.get_path", lambda _: str(packages))
    path = ship(Site("far", "htcondor", ship="environment"))
    with tarfile.open(path) as archive:
        names = set(archive.getnames())
    assert "./numpy/file" in names
    assert "./femtobarn/errors.py" in names
    assert not any("0.1.dist-info" in name or "__pycache__" in name for name in names)


@pytest.mark.parametrize(
    ("site", "command"),
    [
        (
            Site("a", "slurm", image="/cvmfs/i.sif", python="python3.11"),
            "apptainer exec --bind /a,/b /cvmfs/i.sif python3.11",
        ),
        (Site("a", "slurm", image="docker://x/y"), "apptainer exec --bind /a,/b docker://x/y python3"),
        (Site("a", "slurm", ship="wheel"), "python3"),
        (Site("a", "slurm", python="/opt/p y"), "'/opt/p y'"),
    ],
)
def test_how_python_is_called(site, command):
    assert python_command(site, ("/a", "/b")) == command


def test_python_in_a_docker_image():
    said = python_command(Site("a", "slurm", image="docker:x/y:1"), ("/a",))
    assert said.startswith("docker run --rm")
    assert said.endswith("-v /a:/a x/y:1 python3")


# Credentials


def slurm(**more):
    return Site("here", "slurm", Resources(walltime="12:00:00"), **more)


@pytest.fixture
def nobody(tmp_path, monkeypatch):
    """Neither proxy nor ticket nor token."""
    monkeypatch.setenv("X509_USER_PROXY", str(tmp_path / "proxy"))
    monkeypatch.setenv("BEARER_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    (tmp_path / "bin").mkdir()
    program(tmp_path, "klist", "exit 1")
    return tmp_path


def program(folder, name, text):
    path = folder / "bin" / name
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)


@pytest.mark.parametrize(
    "url", ["/data/a.root", "https://a.org/a.root", "root://eospublic.cern.ch//eos/a.root"]
)
def test_public_data_need_no_credentials(nobody, url):
    assert check([url], slurm()) == []


def test_no_credential(nobody):
    with pytest.raises(
        UsageError, match=r"no credential for cmsxrootd.fnal.gov.*\n.*voms-proxy-init -voms cms"
    ):
        check([ELSEWHERE], slurm())
    with pytest.raises(
        UsageError, match=r"there is no grid proxy\n.*voms-proxy-init -voms atlas -valid 24:00"
    ) as caught:
        check(["/data/a.root"], slurm(), voms="atlas")
    assert caught.value.exit_code == 2
    with pytest.raises(UsageError, match=r"there is no Kerberos ticket\n.*kinit -l 12h"):
        check([ELSEWHERE], slurm(credentials=("kerberos",)))


def test_a_proxy_as_voms_tools_see_it(nobody):
    (nobody / "proxy").write_text("secret")
    program(nobody, "voms-proxy-info", 'case "$3" in -timeleft) echo 50000;; -vo) echo cms;; esac')
    (found,) = check([ELSEWHERE], slurm(), voms="cms")
    assert (found.kind, found.vos, found.seconds_left) == ("proxy", ("cms",), 50000)
    with pytest.raises(UsageError, match="the grid proxy is of cms, not of atlas"):
        check([ELSEWHERE], slurm(), voms="atlas")
    program(nobody, "voms-proxy-info", 'case "$3" in -timeleft) echo 3600;; -vo) echo cms;; esac')
    with pytest.raises(UsageError, match=r"ends in 1.0 h; jobs may take 12.0 h"):
        check([ELSEWHERE], slurm(), voms="cms")
    program(nobody, "voms-proxy-info", 'case "$3" in -timeleft) echo 0;; -vo) echo cms;; esac')
    with pytest.raises(UsageError, match="the grid proxy has ended"):
        check([ELSEWHERE], slurm())


def test_a_proxy_without_voms_tools(nobody):
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", nobody / "key",
         "-out", nobody / "proxy",
         "-days", "2", "-subj", "/CN=me", "-addext",
         "1.3.6.1.4.1.8005.100.100.5=ASN1:UTF8String:/cms/Role=NULL/Capability=NULL"],
        capture_output=True, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip("needs openssl")
    (found,) = check([ELSEWHERE], slurm(), voms="cms")
    assert found.seconds_left == pytest.approx(2 * 86400, abs=300)
    with pytest.raises(UsageError, match="is of cms, not of atlas"):
        check([ELSEWHERE], slurm(), voms="atlas")


def test_a_kerberos_ticket(nobody):
    ends = time.strftime("%m/%d/%Y %H:%M:%S", time.localtime(time.time() + 20 * 3600))
    (nobody / "cache").write_text("secret")
    text = f"Ticket cache: FILE:{nobody}/cache\n01/01/2026 00:00:00  {ends}  krbtgt/CERN.CH@CERN.CH"
    program(nobody, "klist", f"cat <<'X'\n{text}\nX")
    (found,) = check([ELSEWHERE], slurm(credentials=("kerberos",)))
    assert found.seconds_left == pytest.approx(20 * 3600, abs=5)
    with pytest.raises(UsageError, match=r"ends in 20.0 h; jobs may take 48.0 h\n.*kinit -l 48h"):
        check([ELSEWHERE], Site("a", "slurm", Resources(walltime="2-00:00"), credentials=("kerberos",)))


def test_a_token(nobody):
    import base64
    import json

    def token(**claims):
        body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
        (nobody / "token").write_text(f"e30.{body}.signature\n")

    token(exp=time.time() + 20 * 3600)
    (found,) = check([ELSEWHERE], slurm(credentials=("token",)))
    assert found.kind == "token"
    token(exp=time.time() - 1)
    with pytest.raises(UsageError, match="the bearer token has ended"):
        check([ELSEWHERE], slurm(credentials=("token",)))
    (nobody / "token").write_text("opaque")
    assert check([ELSEWHERE], slurm())[0].kind == "token"


def test_copies_for_jobs_are_private_and_removed(nobody):
    (nobody / "token").write_text("opaque")
    copies = copies_for_jobs(check([ELSEWHERE], slurm()))
    (path,) = copies.values()
    assert Path(path).stat().st_mode & 0o777 == 0o600
    forget([*copies.values(), str(nobody / "token")])
    assert not Path(path).exists()
    assert (nobody / "token").exists()


def test_nothing_is_submitted_without_credentials(toy, tmp_path, nobody, monkeypatch):
    request = toy.request(tmp_path / "run", executor="slurm", voms="cms")
    with pytest.raises(UsageError, match="there is no grid proxy"):
        api.submit(request)
    assert not (tmp_path / "run" / "batch" / "submitted.json").exists()
    with pytest.raises(UsageError, match="there is no grid proxy"):
        toy.run(tmp_path / "other", executor="slurm", voms="cms")
