"""What the work costs: here, by what the machine costs and draws, and in the cloud, by its prices.

Computed from the ledger when someone looks, never stored.
"""
