"""The export room: results in the formats other programs read."""
