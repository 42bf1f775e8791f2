"""A peak on a smooth background: the fit, and the choice of its background."""
