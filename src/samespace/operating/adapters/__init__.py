"""Models behind an endpoint as policies, each in its own words for the same actions."""
