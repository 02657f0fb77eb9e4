"""Kinks followed exactly through networks of few inputs: lines, planes, edges, cells."""
