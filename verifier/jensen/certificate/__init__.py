"""Proofs written down, and the lone checker that replays them."""
