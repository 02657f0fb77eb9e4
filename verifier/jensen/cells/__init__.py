"""Polyhedral complexes of networks of few inputs: vertices, edges, faces, exact signs."""
