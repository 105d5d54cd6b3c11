"""Installs the node as colcon expects it of an ament_python package."""

from glob import glob

from setuptools import setup

NAME = "drivevlm_ros"

setup(
    name=NAME,
    version="0.1.0",
    description="drivevlm as a planner in a ROS 2 vehicle.",
    license="Apache-2.0",
    maintainer="drivevlm maintainers",
    maintainer_email="maintainers@drivevlm.invalid",
    packages=[NAME],
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/launch", sorted(glob("launch/*"))),
        (f"share/{NAME}/config", sorted(glob("config/*"))),
    ],
    install_requires=["setuptools"],
    zip_safe=True,
    entry_points={"console_scripts": [f"drivevlm_node = {NAME}.main:main"]},
)
