"""Probability shapes on a mass axis, shared by mass fits and by fits of passing and failing probes."""
