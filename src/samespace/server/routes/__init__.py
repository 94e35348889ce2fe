"""The routes, by what they serve; each module has a `router`."""
