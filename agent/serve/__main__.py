"""Prints what is understood of the APIs: `FIELDS.md`."""

from .fields import table

print(table(), end="")
