"""Stages of the survey one by one: selected events and masses written, and continued from."""

from __future__ import annotations

import csv
import os
import subprocess

import numpy as np
import pytest
import uproot

from femtobarn import api
from femtobarn.errors import UsageError


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    api.data_make("survey", out=folder, release="physlite", settings=("events=1500", "signal=100"))
    return folder / "survey.root"


CONFIG = """
run_metadata: {run_name: stages}
tasks: {do_parsing: true, do_mass_calculating: true, do_post_processing: true, do_histogram_creation: true}
parsing_task_config:
  particle_counts: {electrons: {max: 3}, jets: {max: 4}}
  kinematic_cuts: {electrons: {pt_min: 30, eta_max: 2.0}, jets: {pt_min: 40.0}}
mass_calculation_task_config:
  objects_to_calculate: [Electrons, Muons, Jets]
  min_particles_in_combination: 1
  min_count_particle_in_combination: 1
  max_total_particles_in_combination: 3
  min_events_per_fs: 20
post_processing_task_config: {peak_detection_bin_width_gev: 10.0}
histogram_creation_task_config: {bin_width_gev: 10.0}
femtobarn: {known_resonances: none, ARRAYS}
"""


def asked(tmp_path, run, *, files=(), more="arrays: none", **options):
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG.replace("ARRAYS", more))
    return api.SurveyRequest(
        config=str(path), files=[f"d={file}" for file in files], run_dir=str(tmp_path / run),
        part_events=400, **({"executor": "serial"} if "site" not in options else {}), **options,
    )  # fmt: skip


def rows(run, *columns):
    with (run / "tables" / "signatures.csv").open() as stream:
        return [[row[name] for name in columns] for row in csv.DictReader(stream)]


SUMS = (
    "final_state",
    "combination",
    "n",
    "sum_gev",
    "min_gev",
    "max_gev",
    "peak_edge_gev",
    "n_main",
    "status",
)

IDS = {"run", "lumi", "event", "weight", "file_id"}


def test_jobs_of_an_array_and_their_merge_give_the_same_run(tmp_path, sample):
    whole, _ = api.survey(asked(tmp_path, "whole", files=[sample]))
    site = {"site": "pbs", "resources": api.Resources(scaleout=2)}
    array, _ = api.survey_submit(asked(tmp_path, "array", files=[sample], **site), dry_run=True)
    assert array.slices == (1, 2)
    batch = array.path / "batch"
    for index in ("1", "2"):
        job = {**os.environ, "PBS_ARRAY_INDEX": index}
        subprocess.run(["bash", batch / "array.pbs"], env=job, check=True, capture_output=True)
    subprocess.run(["bash", batch / "merge.pbs"], check=True, capture_output=True)
    for name in ("hists.zip", "tables/signatures.csv", "cutflow.json"):
        assert (array.path / name).read_bytes() == (whole.path / name).read_bytes()


def test_what_cannot_be_submitted_is_refused(tmp_path, sample):
    with pytest.raises(UsageError, match="no batch system"):
        api.survey_submit(asked(tmp_path, "a", files=[sample]), dry_run=True)
    with pytest.raises(UsageError, match="slice cannot be cut"):
        api.survey_submit(asked(tmp_path, "a", files=[sample], slice=(1, 2), site="slurm"), dry_run=True)
    with pytest.raises(UsageError, match="no parsed_data"):
        api.survey_submit(asked(tmp_path, "a", files=[sample], more="write_parsed: true", site="slurm"))


def test_selected_events_give_the_same_spectra_as_one_pass(tmp_path, sample):
    whole, _ = api.survey(asked(tmp_path, "whole", files=[sample], more="write_parsed: true"))
    number = api.survey_parsing(asked(tmp_path, "steps", files=[sample], tasks=["parsing"]))
    with uproot.open(tmp_path / "steps" / "parsed_data" / "d.root") as file:
        tree = file["events"]
        assert file.classnames()["events;1"] == "TTree"
        assert tree.num_entries == number["d"]
        assert tree.title == "femtobarn toy simulation"
        assert {"nElectrons", "Electrons_pt", "Electrons_mass"} | IDS <= set(tree.keys())
        assert np.concatenate(tree["Electrons_pt"].array(library="np")).min() >= 30
    with uproot.open(whole.path / "parsed_data" / "d.root") as file:
        assert file["events"].num_entries == number["d"]
    later = ["mass_calculating", "post_processing", "histogram_creation"]
    steps, _ = api.survey(asked(tmp_path, "steps", tasks=later))
    assert rows(steps.path, *SUMS) == rows(whole.path, *SUMS)
    folder = tmp_path / "whole" / "parsed_data"
    elsewhere, _ = api.survey(
        asked(tmp_path, "elsewhere", tasks=later, stage_input=[f"mass_calculating:{folder}"])
    )
    assert rows(elsewhere.path, *SUMS) == rows(whole.path, *SUMS)


def test_later_tasks_go_on_from_masses(tmp_path, sample):
    whole, _ = api.survey(asked(tmp_path, "whole", files=[sample], more="arrays: npy"))
    again, _ = api.survey(
        asked(
            tmp_path, "again", tasks=["post_processing", "histogram_creation"],
            stage_input=[f"post_processing:{whole.path / 'im_arrays'}"],
        )
    )  # fmt: skip
    assert rows(again.path, *SUMS) == rows(whole.path, *SUMS)
    third, _ = api.survey(
        asked(
            tmp_path, "third", tasks=["histogram_creation"],
            stage_input=[f"histogram_creation:{whole.path / 'im_arrays_processed'}"],
        )
    )  # fmt: skip
    main = {
        tuple(row[:2]): row[2] for row in rows(whole.path, "final_state", "combination", "n_main") if row[2]
    }
    found = {tuple(row[:2]): row[2] for row in rows(third.path, "final_state", "combination", "n")}
    assert found == main


def test_the_predecessors_events_and_masses_are_continued(tmp_path, shared):
    """Its own files: selected events as a tree, masses of all objects in MeV."""
    config = shared("oracles/survey/G.yaml").read_text().replace("arrays: npy", "arrays: none")
    path = tmp_path / "G.yaml"
    path.write_text(config)
    masses = tmp_path / "masses"
    masses.mkdir()
    source = shared("data/E/95e6fc52bf187db4.root_1e2j_inv_mass.npy")
    (masses / source.name).write_bytes(source.read_bytes())
    done, _ = api.survey(
        api.SurveyRequest(
            config=str(path), run_dir=str(tmp_path / "run"), executor="serial",
            tasks=["post_processing", "histogram_creation"], stage_input=[f"post_processing:{masses}"],
        )
    )  # fmt: skip
    found = [row for row in rows(done.path, "final_state", "combination", "n", "sum_gev") if row[1] == "all"]
    assert len(found) == 1
    assert int(found[0][2]) == 1035
    assert float(found[0][3]) == pytest.approx(146732.96864, abs=1e-4)


def test_what_cannot_be_continued_is_refused(tmp_path, sample):
    with pytest.raises(UsageError, match=r"holds no \*\.root of the preceding task"):
        api.survey(asked(tmp_path, "run", tasks=["mass_calculating"]))
    with pytest.raises(UsageError, match="is not STAGE:PATH"):
        api.survey(asked(tmp_path, "run", tasks=["mass_calculating"], stage_input=["parsing:x"]))
    with pytest.raises(UsageError, match="is no folder"):
        api.survey(asked(tmp_path, "run", tasks=["mass_calculating"], stage_input=["mass_calculating:none"]))
    with pytest.raises(UsageError, match="leave out mass_calculating"):
        api.stage_of(asked(tmp_path, "run", tasks=["parsing", "post_processing"]))
    folder = tmp_path / "masses"
    folder.mkdir()
    np.save(folder / "x_FS_2e_0m_0j_IM_e0e1e2.npy", np.ones(30))
    from femtobarn.errors import LossError

    with pytest.raises(LossError, match="makes no combination 'e0e1e2'") as problem:
        api.survey(
            asked(
                tmp_path, "run", tasks=["post_processing"], more="arrays: none, count_cap: 2",
                stage_input=[f"post_processing:{folder}"],
                settings=["combinations.max_total=2"],
            )
        )  # fmt: skip
    assert "x_FS" in str(problem.value)
