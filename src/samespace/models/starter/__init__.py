"""What only the starter's towers need."""
