"""What the routes call: page logic, schemas, security, state."""
