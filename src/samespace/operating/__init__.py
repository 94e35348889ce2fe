"""See and act: a screenshot, an action, and the next screenshot, on real pages. `samespace.operate` is its front door."""
