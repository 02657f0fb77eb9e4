"""What is asked and answered: options, evidence, the exact check of a pair, the verdict."""
