"""Efficiencies from passing and failing probes: the simultaneous fit, its models, inputs, scale factors."""
