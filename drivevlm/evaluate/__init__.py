"""Floor 4: a recording replayed in open loop: decisions first, then scores from what was kept."""
