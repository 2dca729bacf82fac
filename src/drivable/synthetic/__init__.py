"""Seeded road scenes with exact labels: pictures for tests and demonstrations without any download."""

from drivable.synthetic.camera import PinholeCamera, Pose
from drivable.synthetic.dataset import write_rendered_dataset
from drivable.synthetic.drive import advance, render_drive
from drivable.synthetic.light import Light, sample_light
from drivable.synthetic.road import OFF_ROAD, ONCOMING, Road, sample_road
from drivable.synthetic.scene import RenderedFrame, Scene, render, sample_scene
from drivable.synthetic.sensor import Bonnet
from drivable.synthetic.vehicles import Vehicle

__all__ = [
    "OFF_ROAD",
    "ONCOMING",
    "Bonnet",
    "Light",
    "PinholeCamera",
    "Pose",
    "RenderedFrame",
    "Road",
    "Scene",
    "Vehicle",
    "advance",
    "render",
    "render_drive",
    "sample_light",
    "sample_road",
    "sample_scene",
    "write_rendered_dataset",
]
