"""Floor 4: teaching our own model, from the very prompts that it will be asked with."""
