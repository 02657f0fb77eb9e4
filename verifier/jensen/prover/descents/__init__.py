"""Descent of the jump along kinks: pieces of kinks, walks on them, and what they aim at."""
