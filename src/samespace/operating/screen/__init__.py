"""A screen: what is seen of it, what is done to it, and what a person is asked first."""
