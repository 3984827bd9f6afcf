"""Tables of plans and evaluations, and their statistics."""
