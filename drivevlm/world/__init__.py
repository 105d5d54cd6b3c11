"""Floor 0: the road in numpy. Ego frame: rear axle on the ground, x forward, y left, z up; SI."""
