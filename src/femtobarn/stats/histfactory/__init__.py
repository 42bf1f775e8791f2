"""HistFactory: from histograms or a workspace to a likelihood, its fits, limits and tables."""
