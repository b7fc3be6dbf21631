"""Document jobs: one schema over many documents, and a record of each."""
