"""From a town and a scene's log to camera images and to what is truly seen in them."""
