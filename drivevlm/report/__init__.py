"""Floor 5: how results look: tables, pictures, pages."""
