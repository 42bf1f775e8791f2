"""Arrays of jobs: on a real Slurm where it can be started, elsewhere with stand-ins for the commands."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from femtobarn import api
from femtobarn.errors import FemtobarnError, LossError, UsageError
from femtobarn.run import batch
from femtobarn.run.batch import write_scripts
from femtobarn.run.resources import Resources, Site
from femtobarn.samples import make

STAND_INS = {
    # PBS runs every job at once; the number of an array ends in [].
    "qsub": """
        args = sys.argv[1:]
        script = Path(args[-1])
        text = script.read_text()
        if 'depend=afterany:' in ' '.join(args):
            assert any(f'afterany:{job}.server' in ' '.join(args) for job in ('123[]', '124')), args
        found = re.search(r'#PBS -J 1-(\\d+)', text)
        for index in range(1, int(found[1]) + 1) if found else [None]:
            more = {} if index is None else {'PBS_ARRAY_INDEX': str(index)}
            with open(script.parent / 'logs' / f'{script.name}.{index}', 'w') as log:
                subprocess.run(['bash', script], env={**os.environ, **more}, stdout=log, stderr=log)
        print('123[].server' if found else '124.server')
    """,
    "qstat": """
        if Path(os.environ['STAND_IN_QUEUE']).exists():
            print('Job id   Name ...')
        else:
            sys.exit('qstat: Unknown Job Id')
    """,
    "condor_submit_dag": """
        dag = Path(sys.argv[-1]).read_text()
        for kind in ('JOB array', 'FINAL merge'):
            description = Path(re.search(kind + r' (\\S+)', dag)[1])
            text = description.read_text()
            job = re.search(r'executable = (\\S+)', text)[1]
            count = int(re.search(r'queue ?(\\d*)', text)[1] or 1)
            for process in range(count):
                argument = 'merge' if 'arguments = merge' in text else str(process + 1)
                node, more = None, dict(os.environ)
                if 'should_transfer_files = YES' in text:
                    # A node of its own: what is named goes there, the folder slices comes back.
                    node = tempfile.mkdtemp()
                    del more['FEMTOBARN_CACHE']
                    more['TMPDIR'] = node
                    for item in re.search(r'transfer_input_files = (.*)', text)[1].split(','):
                        shutil.copy(item, node)
                    job = shutil.copy(job, node)
                with open(description.parent / 'logs' / f'{description.name}.{process}', 'w') as log:
                    subprocess.run([job, argument], stdout=log, stderr=log, cwd=node, env=more)
                if node:
                    run = Path(re.search(r'initialdir = (.*)', text)[1])
                    shutil.copytree(Path(node, 'slices'), run / 'slices', dirs_exist_ok=True)
        print('1 job(s) submitted to cluster 77.')
    """,
    "condor_q": """
        assert 'ClusterId == 77' in sys.argv[-1], sys.argv
        if Path(os.environ['STAND_IN_QUEUE']).exists():
            print('77')
    """,
}


@pytest.fixture
def stand_ins(tmp_path, monkeypatch):
    """Commands of PBS and HTCondor that run the jobs here and now."""
    import sys
    import textwrap

    folder = tmp_path / "bin"
    folder.mkdir()
    for name, code in STAND_INS.items():
        path = folder / name
        imports = "import os, re, shutil, subprocess, sys, tempfile\nfrom pathlib import Path\n"
        path.write_text(f"#!{sys.executable}\n{imports}{textwrap.dedent(code)}")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("STAND_IN_QUEUE", str(tmp_path / "queue"))
    monkeypatch.setattr("femtobarn.run.queues._SECONDS", 300)  # they answer when the jobs have run
    return tmp_path / "queue"


@pytest.fixture
def reference(toy, tmp_path, tools):
    toy.run(tmp_path / "reference")
    return tools.results(tmp_path / "reference")


def finished(run):
    status = api.status(run)
    return status["finished"] is not None


def test_slurm(toy, tmp_path, tools, reference, slurm, monkeypatch):
    """A slice dies in its job; the merge behind it says what is missing; resubmitting mends the run."""
    monkeypatch.setenv("SLURM_CONF", str(slurm))
    run = tmp_path / "run"
    settings = [f"mercy={tmp_path / 'died'}", "deadly=620"]
    resources = Resources(scaleout=2, memory="500MiB")
    request = toy.request(run, executor="slurm", settings=settings, resources=resources)
    assert api.submit(request, process_only=True).slices == (1, 2)
    with pytest.raises(FemtobarnError, match=r"are still in the queue\n.*scancel"):
        api.resubmit(run)
    logs = run / "batch" / "logs"
    tools.wait_for(lambda: any("is lost" in log.read_text() for log in logs.glob("*_merge.log")), seconds=400)
    assert (tmp_path / "died").exists()
    assert 0 < api.status(run)["parts"]["missing"] < 17
    again = []
    tools.wait_for(lambda: _resubmitted(run, again), seconds=200)
    assert again == [2]
    tools.wait_for(lambda: finished(run), seconds=400)
    assert tools.results(run)["hists.zip"] == reference["hists.zip"]
    tools.wait_for(lambda: _resubmitted(run, again), seconds=200)
    assert again == [2]


def _resubmitted(run, again):
    try:
        again.extend(api.resubmit(run).slices)
    except FemtobarnError:  # the merge is still leaving the queue
        return False
    return True


def test_stand_in_of_htcondor(toy, tmp_path, tools, reference, stand_ins):
    run = tmp_path / "run"
    request = toy.request(run, executor="htcondor", resources=Resources(scaleout=2, queue="short"))
    done = api.submit(request, process_only=True)
    assert done.array.jobs == ("77",)
    assert finished(run), [log.read_text() for log in (run / "batch" / "logs").iterdir()]
    assert tools.results(run) == reference
    stand_ins.touch()
    with pytest.raises(FemtobarnError, match=r"are still in the queue\n.*condor_rm 77"):
        api.resubmit(run)
    stand_ins.unlink()
    assert api.resubmit(run).slices == ()


def test_stand_in_of_htcondor_without_a_shared_disk(tmp_path, stand_ins):
    """Manifest, plan and code travel to the nodes, what the slices have made travels back."""
    fileset = make("h4l", tmp_path / "samples", release="atlas-2020", scale=0.01)
    site = tmp_path / "site.yaml"
    site.write_text(f"kind: htcondor\nship: wheel\npython: {sys.executable}\nresources: {{scaleout: 1}}\n")
    runs = {name: tmp_path / name for name in ("here", "there")}
    requests = {name: api.Request(what="h4l", release="atlas-2020", fileset=str(fileset), out=str(run),
                                  executor="serial") for name, run in runs.items()}  # fmt: skip
    api.run(requests["here"], process_only=True)
    api.submit(dataclasses.replace(requests["there"], site=str(site), executor=None), process_only=True)
    assert finished(runs["there"]), [log.read_text() for log in (runs["there"] / "batch" / "logs").iterdir()]
    for name in ("hists.zip", "cutflow.json"):
        assert (runs["there"] / name).read_bytes() == (runs["here"] / name).read_bytes()


def test_a_real_htcondor(toy, tmp_path, tools, reference):
    """Where a pool answers; neither Debian 12 nor PyPI has HTCondor's daemons to start one with."""
    if shutil.which("condor_q") is None:
        pytest.skip("needs an HTCondor pool: its daemons are neither in Debian 12 nor on PyPI")
    run = tmp_path / "run"
    api.submit(toy.request(run, executor="htcondor", resources=Resources(scaleout=2)), process_only=True)
    tools.wait_for(lambda: finished(run), seconds=600)
    assert tools.results(run) == reference


ENVIRONMENT = """#!/bin/sh
echo "ARGS $*"
for name in X509_USER_PROXY BEARER_TOKEN_FILE; do
    eval "path=\\$$name"
    echo "$name $path $(stat -c %a "$path") $(cat "$path")"
done
env | grep FEMTOBARN | sort
"""


@pytest.mark.parametrize("carried", [True, False])
def test_what_a_job_finds_on_its_node(toy, tmp_path, carried, monkeypatch):
    """Setup scripts that stumble, credentials as files of mode 600, settings of the network."""
    monkeypatch.setenv("FEMTOBARN_PER_HOST", "3")
    (tmp_path / "python").write_text(ENVIRONMENT)
    (tmp_path / "python").chmod(0o755)
    (tmp_path / "view.sh").write_text('false\nexport VIEW="$NOT_SET_ANYWHERE/lib"\n')
    copies = {}
    for name in ("X509_USER_PROXY", "BEARER_TOKEN_FILE"):
        (tmp_path / name.lower()).write_text("secret")
        (tmp_path / name.lower()).chmod(0o600)
        copies[name] = str(tmp_path / name.lower())
    site = Site("mine", "htcondor", setup=(f"source {tmp_path}/view.sh",), python=str(tmp_path / "python"))
    monkeypatch.setattr(batch, "ship", lambda _: tmp_path / "view.sh" if carried else None)
    monkeypatch.setattr(batch, "unpacking", lambda *_: ["packed=yes"])
    run = tmp_path / "run"
    run.mkdir()
    write_scripts(run, site, [2], 2, copies)
    node = tmp_path / "node"
    node.mkdir()
    text = (run / "batch" / "array.htcondor").read_text()
    if carried:
        assert f"x509userproxy = {copies['X509_USER_PROXY']}" in text
        inputs = re.search("transfer_input_files = (.*)", text)[1].split(",")
        assert copies["BEARER_TOKEN_FILE"] in inputs
        for item in (*copies.values(), run / "batch" / "slices.txt"):
            shutil.copyfile(item, node / Path(item).name)  # the mode is what the node's umask makes it
    job = run / "batch" / "job.sh"
    said = subprocess.run([job, "1"], cwd=node, capture_output=True, text=True, check=True).stdout
    there = node if carried else tmp_path
    assert f"X509_USER_PROXY {there}/x509_user_proxy 600 secret" in said
    assert f"BEARER_TOKEN_FILE {there}/bearer_token_file 600 secret" in said
    assert f"ARGS -m femtobarn resume {node if carried else run} --part 2/2" in said
    assert "FEMTOBARN_PER_HOST=3" in said
    assert "secret" not in job.read_text() + text


def test_stand_in_of_pbs_resubmits_what_is_missing(toy, tmp_path, tools, reference, stand_ins):
    run = tmp_path / "run"
    settings = ["deadly=620", f"mercy={tmp_path / 'died'}"]
    request = toy.request(run, executor="pbs", settings=settings, resources=Resources(scaleout=2))
    assert api.submit(request, process_only=True).array.jobs == ("123[].server", "124.server")
    assert not finished(run)
    with pytest.raises(LossError, match="are missing"):
        api.merge([run])
    stand_ins.touch()
    with pytest.raises(FemtobarnError, match=r"are still in the queue\n.*qdel"):
        api.resubmit(run)
    stand_ins.unlink()
    # The killed job has left its lock, as it would on another machine.
    lock = run / "slices" / "2-of-2" / "run.lock"
    lock.write_text('{"pid": 1, "host": "node7", "started": "1"}')
    assert api.resubmit(run).slices == (2,)
    assert (run / "batch" / "slices.txt").read_text() == "2/2\n"
    assert "#PBS -J" not in (run / "batch" / "array.pbs").read_text()
    assert finished(run)
    assert tools.results(run)["hists.zip"] == reference["hists.zip"]


def test_a_dry_run_submits_nothing(toy, tmp_path, femtobarn):
    run = tmp_path / "run"
    flags = {"executor": "slurm", "scaleout": "5", "memory": "3GiB", "walltime": "1-02:00:00",
             "queue": "short", "log-directory": str(tmp_path / "logs")}  # fmt: skip
    network = {"per-host": "3", "cache-remote": "columns", "snapshot": "R.json", "cache": "columns"}
    given = (item for k, v in (flags | network).items() for item in (f"--{k}", v))
    command = toy.command(run, *given, "--dry-run")
    said = femtobarn("submit", *command[1:])
    assert "nothing was submitted" in said.stdout
    text = (run / "batch" / "array.slurm").read_text()
    for line in ("array=1-5", "mem=3072", "time=1-02:00:00", "partition=short", f"output={tmp_path}/logs/"):
        assert f"#SBATCH --{line}" in text
    job = (run / "batch" / "job.sh").read_text()
    for line in ("PER_HOST=3", "CACHE_REMOTE=columns", f"SNAPSHOT={Path.cwd()}/R.json"):
        assert f"export FEMTOBARN_{line}\n" in job
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["execution"]["cache"] == "columns"
    assert manifest["execution"]["network"]["FEMTOBARN_PER_HOST"] == "3"
    assert not (run / "batch" / "submitted.json").exists()
    for script in (run / "batch").glob("*.s[hl]*"):
        subprocess.run(["bash", "-n", script], check=True)


def test_what_cannot_be_submitted(toy, tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="no batch system was named"):
        api.submit(toy.request(tmp_path / "a"))
    with pytest.raises(UsageError, match="site 'local' has no batch system"):
        api.submit(toy.request(tmp_path / "b", site="local"))
    with pytest.raises(UsageError, match="cannot take the path"):
        api.submit(toy.request(tmp_path / "with blank", executor="slurm"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match=r"there is no sbatch here\n.*--dry-run"):
        api.submit(toy.request(tmp_path / "c", executor="slurm"))
    toy.run(tmp_path / "d")
    with pytest.raises(UsageError, match="was not submitted"):
        api.resubmit(tmp_path / "d")


def test_a_site_of_ones_own(toy, tmp_path):
    lines = ["kind: slurm", "setup: [source /opt/view/setup.sh]", "directives: [--account=me]",
             "python: /opt/view/bin/python"]  # fmt: skip
    (tmp_path / "site.yaml").write_text("\n".join(lines))
    api.submit(toy.request(tmp_path / "run", site=str(tmp_path / "site.yaml")), dry_run=True)
    job = (tmp_path / "run" / "batch" / "job.sh").read_text()
    assert "\nsource /opt/view/setup.sh\n" in job
    assert "/opt/view/bin/python -m femtobarn resume" in job
    assert "#SBATCH --account=me" in (tmp_path / "run" / "batch" / "array.slurm").read_text()
    assert Path(tmp_path / "run" / "plan.json").exists()
