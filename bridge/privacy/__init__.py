"""Who may do what with a person, screenshots, and people's devices."""
