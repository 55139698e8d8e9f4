"""Whether booking and looking up take longer as the months add up."""
