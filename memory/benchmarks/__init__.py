"""Measurements that can be repeated: each module is one command."""
