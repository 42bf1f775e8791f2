"""Rank references: features, rankers, rules with reasons, honest evaluation."""
