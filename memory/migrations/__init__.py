"""The store's schema over time: alembic scripts in `versions/`. The list only grows."""
