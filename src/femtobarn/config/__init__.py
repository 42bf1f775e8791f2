"""Run files and parameters: read from text with their lines, checked at once, frozen."""

from __future__ import annotations

from femtobarn.config.located import Located, load_file, load_text
from femtobarn.config.parameters import (
    ParameterHelp,
    describe,
    parse_settings,
    read_parameters,
    validate_parameters,
)
from femtobarn.config.problems import Problem, Problems
from femtobarn.config.runfile import (
    Execution,
    RunFile,
    json_schema,
    parse_run_file,
    read_run_file,
    resolve_files,
    resolve_path,
)

__all__ = [
    "Execution",
    "Located",
    "ParameterHelp",
    "Problem",
    "Problems",
    "RunFile",
    "describe",
    "json_schema",
    "load_file",
    "load_text",
    "parse_run_file",
    "parse_settings",
    "read_parameters",
    "read_run_file",
    "resolve_files",
    "resolve_path",
    "validate_parameters",
]
