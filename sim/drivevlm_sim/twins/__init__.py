"""Twin scenes: pairs equal up to a moment and different in one visible cause."""
