"""A recorded bag in, decisions out: the node in one process, on the bag's clock, without ROS."""
