"""Is there a bump in any invariant-mass spectrum?"""

from __future__ import annotations

from femtobarn.analyses.survey.parameters import SurveyParameters
from femtobarn.analyses.survey.process import columns, process
from femtobarn.analysis import Analysis

analysis = Analysis(name="survey", parameters=SurveyParameters, columns=columns, process=process)
