"""Floor 1: chat models behind one seam. They know conversations, never a road."""
