"""Kinks proved to bend upwards, or refuted: the question, the engines, the verdict."""
