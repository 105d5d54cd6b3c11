"""Our own model behind the seam: ``engine.NativeVLM``."""
