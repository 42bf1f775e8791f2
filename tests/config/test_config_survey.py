"""The predecessor's configuration file: every key known, honoured or named, every mistake with its line."""

from __future__ import annotations

import pytest
import yaml

from femtobarn.analyses.survey import SurveyParameters
from femtobarn.config.survey import read_survey_config
from femtobarn.config.survey_keys import KEYS
from femtobarn.errors import ConfigError

BASE = {
    "run_metadata": {"run_name": "test"},
    "tasks": {
        "do_parsing": True, "do_mass_calculating": True, "do_post_processing": True,
        "do_histogram_creation": True,
    },
    "parsing_task_config": {},
    "mass_calculation_task_config": {},
    "post_processing_task_config": {},
    "histogram_creation_task_config": {},
}  # fmt: skip


def read(tmp_path, **sections):
    config = {name: {**table, **sections.get(name, {})} for name, table in BASE.items()}
    config |= {name: table for name, table in sections.items() if name not in config}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return read_survey_config(path)


def parameters(tmp_path, **sections):
    return SurveyParameters(**read(tmp_path, **sections).parameters)


#: A value of every key that does something, and where its effect is seen.
EFFECTS = {
    "parsing_task_config.rel_isolation_max": (0.1, lambda p: p.selection.isolation["muons"] == 0.1),
    "parsing_task_config.enable_jet_tagging": (True, lambda p: p.tagging.enabled),
    "parsing_task_config.jet_btag_field": ("btagDeepB", lambda p: p.tagging.field == "btagDeepB"),
    "parsing_task_config.jet_btag_threshold": (0.4, lambda p: p.tagging.threshold == 0.4),
    "parsing_task_config.jet_btagging_thresholds": ({"medium": 0.3}, lambda p: p.tagging.threshold == 0.3),
    "parsing_task_config.enable_overlap_removal": (True, lambda p: p.overlap_removal),
    "parsing_task_config.overlap_removal": (
        {"jets_electrons": 0.3}, lambda p: p.overlap_radii == {"jets_electrons": 0.3}),
    "parsing_task_config.trigger_config": (
        {"branches": ["HLT_x"]}, lambda p: p.trigger.branches == ("HLT_x",)),
    "parsing_task_config.selection_by_record": (
        {"a": {"particle_counts": {"jets": {"max": 1}}}},
        lambda p: p.by_dataset["a"].particle_counts["jets"].max == 1),
    "parsing_task_config.combined_particle_counts": (
        {"electrons_muons": {"min": 2}}, lambda p: p.combined_counts[0].types == ("electrons", "muons")),
    "parsing_task_config.validated_runs_json": ("g.json", lambda p: p.golden_json == "g.json"),
    "parsing_task_config.particle_counts": (
        {"jets": {"max": 2}}, lambda p: p.particle_counts["jets"].max == 2),
    "parsing_task_config.kinematic_cuts": (
        {"jets": {"pt_min": 30}}, lambda p: p.kinematic_cuts["jets"].pt_min == 30),
    "parsing_task_config.possible_data_tree_names": (
        ["CollectionTree"], lambda p: p.trees == ("CollectionTree", "EventData")),
    "mass_calculation_task_config.field_to_slice_by": ("eta", lambda p: p.sort_by == "eta"),
    "mass_calculation_task_config.objects_to_calculate": (["Jets"], lambda p: p.objects == ("jets",)),
    "mass_calculation_task_config.min_particles_in_combination": (1, lambda p: p.combinations.min_types == 1),
    "mass_calculation_task_config.max_particles_in_combination": (3, lambda p: p.combinations.max_types == 3),
    "mass_calculation_task_config.min_count_particle_in_combination": (
        1, lambda p: p.combinations.min_each == 1),
    "mass_calculation_task_config.max_count_particle_in_combination": (
        3, lambda p: p.combinations.max_each == 3),
    "mass_calculation_task_config.max_total_particles_in_combination": (
        3, lambda p: p.combinations.max_total == 3),
    "mass_calculation_task_config.include_subleading": (True, lambda p: p.combinations.include_subleading),
    "mass_calculation_task_config.max_subleading_index": (
        2, lambda p: p.combinations.max_subleading_index == 2),
    "mass_calculation_task_config.min_events_per_fs": (7, lambda p: p.min_events == 7),
    "post_processing_task_config.peak_detection_bin_width_gev": (20, lambda p: p.peak_width == 20),
    "post_processing_task_config.z_peak_cutoff": (120, lambda p: p.z_peak == 120),
    "post_processing_task_config.max_mass_cutoff": (900, lambda p: p.max_mass == 900),
    "histogram_creation_task_config.bin_width_gev": ([10, 20], lambda p: p.widths == (10, 20)),
    "histogram_creation_task_config.single_output_file": (False, lambda p: not p.single_file),
    "histogram_creation_task_config.output_filename": ("x.root", lambda p: p.filename == "x.root"),
    "histogram_creation_task_config.exclude_outliers": (False, lambda p: not p.exclude_outliers),
    "histogram_creation_task_config.use_bumpnet_naming": (False, lambda p: p.naming == "plain"),
    "histogram_creation_task_config.also_save_pre_postproc": (True, lambda p: p.before_cuts),
    "histogram_creation_task_config.pre_postproc_filename": (
        "y.root", lambda p: p.before_filename == "y.root"),
    "mc_weighting_config.enabled": (True, lambda p: p.weighting.enabled),
    "mc_weighting_config.target_luminosity_fb": (5, lambda p: p.weighting.target_luminosity_fb == 5),
    "mc_weighting_config.luminosity_by_campaign": (
        {"mc20a": 36}, lambda p: p.weighting.luminosity_by_campaign == {"mc20a": 36}),
    "mc_weighting_config.require_metadata": (False, lambda p: not p.weighting.require_metadata),
    "femtobarn.schema": ("physlite", lambda p: p.schemas == ("physlite",)),
    "femtobarn.mass_model": ("classic", lambda p: p.mass_model == "classic"),
    "femtobarn.extra_combinations": (["all"], lambda p: p.extra == ("all",)),
    "femtobarn.grid": ({"width_gev": 2, "max_gev": 500}, lambda p: (p.grid_width, p.grid_max) == (2, 500)),
    "femtobarn.arrays": ("parquet", lambda p: p.keep_arrays and p.arrays_format == "parquet"),
    "femtobarn.post_processing": ("none", lambda p: p.post_processing == "none"),
    "femtobarn.known_resonances": ("mask", lambda p: p.resonances == "mask"),
    "femtobarn.naming": ("bumpnet", lambda p: p.naming == "bumpnet"),
    "femtobarn.binning": ("resolution", lambda p: p.binning == "resolution"),
    "femtobarn.bumpnet_cuts": ({"skipped_bins": 0.1}, lambda p: p.skipped_bins == 0.1),
    "femtobarn.selection": (
        {"ids": {"muons": "tightId"}, "deduplicate": True},
        lambda p: p.deduplicate and p.selection.ids == {"muons": "tightId"}),
    "femtobarn.z_objects": (True, lambda p: p.z_objects),
    "femtobarn.charge_tags": (True, lambda p: p.charge_tags),
    "femtobarn.on_missing_object": ("zero", lambda p: p.on_missing == "zero"),
    "femtobarn.count_cap": (4, lambda p: p.count_cap == 4),
    "femtobarn.search": (True, lambda p: p.search),
}  # fmt: skip

#: Keys that do not end in a parameter, and where their effect is seen.
ELSEWHERE = {
    "run_metadata.run_name": ("x", lambda c: c.run_name == "x"),
    "run_metadata.base_output_dir": ("/o", lambda c: c.base_output_dir == "/o"),
    "parsing_task_config.release_years": (["2024r-pp"], lambda c: c.releases == ("2024r-pp",)),
    "parsing_task_config.specific_record_ids": ([80000], lambda c: c.records == (80000,)),
    "parsing_task_config.parse_mc": (True, lambda c: c.parse_mc),
    "parsing_task_config.max_files_to_process": (3, lambda c: c.max_files == 3),
    "parsing_task_config.parallel_processes": (2, lambda c: c.processes == 2),
    "mass_calculation_task_config.parallel_processes": (2, lambda c: c.processes == 2),
    "parsing_task_config.chunk_yield_threshold_bytes": (10**6, lambda c: c.part_bytes == 10**6),
    "parsing_task_config.env_threshold_memory_mb": (4000, lambda c: c.memory_mb == 4000),
    "parsing_task_config.count_retries_failed_files": (1, lambda c: c.retries == 1),
    "parsing_task_config.threads": (4, lambda c: c.threads == 4),
    "parsing_task_config.fetching_metadata_timeout": (30, lambda c: c.metadata_s == 30),
    "parsing_task_config.show_progress_bar": (False, lambda c: not c.show_progress),
    "femtobarn.write_parsed": (True, lambda c: c.write_parsed),
}


@pytest.mark.parametrize("key", EFFECTS)
def test_a_key_has_its_effect(tmp_path, key):
    section, name = key.split(".")
    value, seen = EFFECTS[key]
    assert seen(parameters(tmp_path, **{section: {name: value}}))
    assert not any("no effect" in note for note in read(tmp_path, **{section: {name: value}}).notes)


@pytest.mark.parametrize("key", ELSEWHERE)
def test_a_key_of_the_run_has_its_effect(tmp_path, key):
    section, name = key.split(".")
    value, seen = ELSEWHERE[key]
    assert seen(read(tmp_path, **{section: {name: value}}))


def test_keys_that_have_no_effect_are_named_and_none_is_forgotten(tmp_path):
    tested = {*EFFECTS, *ELSEWHERE, "run_metadata.batch_job_index", "run_metadata.total_batch_jobs",
              "femtobarn.cut_unit", "testing_config.is_on", "testing_config.limit_files_per_year",
              "testing_config.limit_combinations"}  # fmt: skip
    for section, keys in KEYS.items():
        for name, target in keys.items():
            if section == "tasks":
                continue
            if target == "-":
                notes = " ".join(read(tmp_path, **{section: {name: 1}}).notes)
                assert f"{section}.{name}" in notes
            else:
                assert f"{section}.{name}" in tested


def test_slices_and_limits(tmp_path):
    found = read(
        tmp_path, run_metadata={"batch_job_index": 2, "total_batch_jobs": 3},
        testing_config={"is_on": True, "limit_files_per_year": 4, "limit_combinations": 5},
        parsing_task_config={"max_files_to_process": 9},
    )  # fmt: skip
    assert found.slice == (2, 3)
    assert found.max_files == 4
    assert len(SurveyParameters(**found.parameters).combination_list()) == 5
    off = read(tmp_path, testing_config={"is_on": False, "limit_combinations": 5})
    assert "combinations" not in off.parameters
    with pytest.raises(ConfigError, match="is no slice"):
        read(tmp_path, run_metadata={"batch_job_index": 4, "total_batch_jobs": 3})


def test_cuts_in_mev_are_recognised_and_mixtures_refused(tmp_path):
    cuts = {"kinematic_cuts": {"jets": {"pt_min": 30000}, "muons": {"pt_min": 25000}}}
    found = read(tmp_path, parsing_task_config=cuts)
    assert found.parameters["kinematic_cuts"]["jets"]["pt_min"] == 30.0
    assert any("taken as MeV" in note for note in found.notes)
    kept = read(tmp_path, parsing_task_config=cuts, femtobarn={"cut_unit": "GeV"})
    assert kept.parameters["kinematic_cuts"]["jets"]["pt_min"] == 30000
    cuts["kinematic_cuts"]["muons"]["pt_min"] = 25
    with pytest.raises(ConfigError, match="some pt cuts look like GeV and some like MeV"):
        read(tmp_path, parsing_task_config=cuts)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"parsing_task_config": {"particle_count": {}}}, "particle_counts"),
        ({"parsing_task_confg": {}}, "parsing_task_config"),
        ({"parsing_task_config": {"kinematic_cuts": {"elektrons": {"pt_min": 1}}}}, "electrons"),
        ({"mass_calculation_task_config": {"objects_to_calculate": ["Jetz"]}}, "Jets"),
        ({"tasks": dict.fromkeys(BASE["tasks"], False)}, "no task is switched on"),
        ({"parsing_task_config": {"count_retries_failed_files": -1}}, "number of times"),
        ({"parsing_task_config": {"jet_btagging_thresholds": {"a": 1, "b": 2}}}, "which one counts"),
        ({"femtobarn": {"arrays": "hdf5"}}, "none, npy or parquet"),
        ({"femtobarn": {"grid": {"width": 1}}}, "width_gev"),
        ({"femtobarn": {"selection": {"id": {}}}}, "ids"),
        ({"femtobarn": {"cut_unit": "TeV"}}, "is not GeV or MeV"),
    ],
)
def test_mistakes_name_file_line_and_the_nearest_key(tmp_path, sections, message):
    with pytest.raises(ConfigError, match=message) as problem:
        read(tmp_path, **sections)
    assert "config.yaml" in str(problem.value)
