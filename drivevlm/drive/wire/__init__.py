"""ROS 2 topics with pip alone: messages as ROS writes them, on DDS. Needs ``drivevlm[dds]``."""
