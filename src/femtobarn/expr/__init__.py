"""The one restricted expression language: cuts, filters and queries as text, never as code."""

from femtobarn.expr.functions import standard_functions
from femtobarn.expr.language import Expression, ExpressionError

__all__ = ["Expression", "ExpressionError", "standard_functions"]
