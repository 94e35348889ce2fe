"""Why a picture matches, and what happens inside the models."""
