"""Every key of the survey's configuration file, and what becomes of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["ANCHORS", "KEYS", "TASKS", "TYPE_NAMES"]

#: Tasks in order, with the key that switches each on and the section it needs.
TASKS: Final = {
    "parsing": ("do_parsing", "parsing_task_config"),
    "mass_calculating": ("do_mass_calculating", "mass_calculation_task_config"),
    "post_processing": ("do_post_processing", "post_processing_task_config"),
    "histogram_creation": ("do_histogram_creation", "histogram_creation_task_config"),
}
TYPE_NAMES: Final = ("electrons", "muons", "jets", "bjets", "photons", "taus")

#: Keys by section.  A value says what becomes of a key: the name of a parameter (dots reach inside),
#: ``-`` for one without effect, ``!`` for one that this program handles itself.
KEYS: Final[Mapping[str, Mapping[str, str]]] = {
    "run_metadata": {
        "run_name": "!", "base_output_dir": "!", "batch_job_index": "!", "total_batch_jobs": "!",
    },
    "tasks": {flag: "!" for flag, _ in TASKS.values()},
    "testing_config": {
        "is_on": "!", "test_run_index": "-", "testing_jobs_path": "-", "limit_files_per_year": "!",
        "limit_combinations": "!",
    },
    "parsing_task_config": {
        "output_path": "-", "file_urls_path": "-", "jobs_logs_path": "-", "create_dirs": "-",
        "use_multiprocessing": "-", "parallel_processes": "!", "threads": "!",
        "release_years": "!", "specific_record_ids": "!", "parse_mc": "!",
        "count_retries_failed_files": "!", "fetching_metadata_timeout": "!", "max_files_to_process": "!",
        "possible_data_tree_names": "!", "show_progress_bar": "!", "chunk_yield_threshold_bytes": "!",
        "env_threshold_memory_mb": "!", "particle_counts": "!", "kinematic_cuts": "!",
        "rel_isolation_max": "!", "enable_jet_tagging": "tagging.enabled",
        "jet_btag_field": "tagging.field",
        "jet_btag_threshold": "tagging.threshold", "jet_btagging_thresholds": "!",
        "enable_overlap_removal": "overlap_removal", "overlap_removal": "overlap_radii",
        "trigger_config": "trigger",
        "selection_by_record": "by_dataset", "combined_particle_counts": "!",
        "validated_runs_json": "golden_json",
    },
    "mass_calculation_task_config": {
        "input_dir": "-", "output_dir": "-", "use_multiprocessing": "-", "fs_chunk_threshold_bytes": "-",
        "parallel_processes": "!", "field_to_slice_by": "sort_by", "objects_to_calculate": "!",
        "min_particles_in_combination": "combinations.min_types",
        "max_particles_in_combination": "combinations.max_types",
        "min_count_particle_in_combination": "combinations.min_each",
        "max_count_particle_in_combination": "combinations.max_each",
        "max_total_particles_in_combination": "combinations.max_total",
        "include_subleading": "combinations.include_subleading",
        "max_subleading_index": "combinations.max_subleading_index", "min_events_per_fs": "min_events",
    },
    "post_processing_task_config": {
        "input_dir": "-", "output_dir": "-", "peak_detection_bin_width_gev": "peak_width",
        "z_peak_cutoff": "z_peak", "max_mass_cutoff": "max_mass",
    },
    "histogram_creation_task_config": {
        "input_dir": "-", "output_dir": "-", "bin_width_gev": "!", "single_output_file": "single_file",
        "output_filename": "filename", "exclude_outliers": "exclude_outliers", "use_bumpnet_naming": "!",
        "also_save_pre_postproc": "before_cuts", "pre_postproc_filename": "before_filename",
        "apply_peak_removal_at_histogram_level": "-",
    },
    "mc_weighting_config": {
        "enabled": "weighting.enabled", "target_luminosity_fb": "weighting.target_luminosity_fb",
        "luminosity_by_campaign": "weighting.luminosity_by_campaign",
        "require_metadata": "weighting.require_metadata",
    },
    "femtobarn": {
        "schema": "!", "cut_unit": "!", "mass_model": "mass_model", "extra_combinations": "extra",
        "grid": "!",
        "arrays": "!", "write_parsed": "!", "post_processing": "post_processing",
        "known_resonances": "resonances", "naming": "!", "binning": "binning", "bumpnet_cuts": "!",
        "selection": "!", "z_objects": "z_objects", "charge_tags": "charge_tags",
        "on_missing_object": "on_missing", "count_cap": "count_cap", "search": "search",
    },
}  # fmt: skip
ANCHORS: Final = ("paths", "names")
