"""The control API of `gesso up`: what a monitor sees of a runtime, and the person's hand on it."""
