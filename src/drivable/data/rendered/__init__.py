"""Seeded road scenes with exact labels: pictures for tests and demonstrations without any download."""

from drivable.data.rendered.camera import PinholeCamera, Pose
from drivable.data.rendered.dataset import write_rendered_dataset
from drivable.data.rendered.drive import advance, render_drive
from drivable.data.rendered.light import Light, sample_light
from drivable.data.rendered.road import OFF_ROAD, ONCOMING, Road, sample_road
from drivable.data.rendered.scene import RenderedFrame, Scene, render, sample_scene
from drivable.data.rendered.sensor import Bonnet
from drivable.data.rendered.vehicles import Vehicle

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
