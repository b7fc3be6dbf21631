"""`gesso watch`: what a runtime's agents do, and how their canvases come into focus."""
