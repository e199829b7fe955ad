"""Models beside one another, and beside what their papers printed."""
