"""Listing a week of a specialty: with lists kept in Redis, and without."""
