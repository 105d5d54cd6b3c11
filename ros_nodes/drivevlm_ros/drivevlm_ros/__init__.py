"""drivevlm as a ROS 2 node: the only package that imports rclpy."""
