"""The schema as numbered plain SQL, forward only; `amrutam migrate` applies what is missing."""
