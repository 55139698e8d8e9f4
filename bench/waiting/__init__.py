"""How well the waiting room foretells."""
