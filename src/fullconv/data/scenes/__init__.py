"""Generated street scenes with exact labels: data to learn from without any download."""

from fullconv.data.scenes.classes import SCENE_CLASSES
from fullconv.data.scenes.conditions import Conditions
from fullconv.data.scenes.rendering import generate_scene, scene_conditions
from fullconv.data.scenes.writing import write_scenes

__all__ = ["SCENE_CLASSES", "Conditions", "generate_scene", "scene_conditions", "write_scenes"]
