"""What files say about themselves, and what lies beside them about them: when, where, who, and in which words."""
