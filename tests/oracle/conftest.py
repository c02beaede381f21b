"""Fixtures of the chain side: a real chain with a model and a provider on it."""

from chain_fixtures import anvil, chain, market, provider, xor

__all__ = ["anvil", "chain", "market", "provider", "xor"]
