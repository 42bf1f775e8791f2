from __future__ import annotations

import subprocess
import sys

import pytest

from femtobarn import stats


def test_every_public_name_is_there_and_nothing_else_is_shown():
    assert dir(stats) == sorted(stats.__all__)
    for name in stats.__all__:
        assert getattr(stats, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'fitt'"):
        _ = stats.fitt


VERBS = "fit profile ranking scan hypotest limit significance goodness_of_fit toys run_fit"


def test_functions_are_not_hidden_by_modules_of_their_name():
    code = "import sys, femtobarn.stats.histfactory.full_fit, femtobarn.stats as s\n"
    code += "assert all(callable(getattr(s, name)) for name in sys.argv[1].split())"
    subprocess.run([sys.executable, "-c", code, VERBS], check=True)


def test_one_interval_does_not_load_the_engine():
    code = (
        "import sys, femtobarn.stats.intervals; assert 'femtobarn.stats.histfactory.model' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
