"""The runtime on a vehicle: from images and odometry to a trajectory or a clear refusal. No ROS."""
