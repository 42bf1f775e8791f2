"""The bump search: a smooth background of a spectrum, local significances, honest trials."""
