"""Measurements of the engine beside other people's: speed, schemas, tool calls."""
