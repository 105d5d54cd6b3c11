"""The ego's body where nobody says otherwise: the Renault Zoe of nuScenes, and of our own worlds.

Protocols that score with another outline, or place this one elsewhere, state theirs themselves.
"""

LENGTH_M, WIDTH_M = 4.084, 1.85
CENTER_M = 1.486
"""From the rear axle ahead to the centre of its box."""
FRONT_M = 3.528
"""From the rear axle ahead to its front bumper: ``CENTER_M`` and half of ``LENGTH_M``."""
WHEELBASE_M = 2.588
