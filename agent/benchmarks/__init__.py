"""Measurements of the agent room."""
