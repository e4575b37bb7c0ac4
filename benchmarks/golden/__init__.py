"""Proof that a refactor changes no bit: one collector run in two trees of the package, compared entry by entry."""
