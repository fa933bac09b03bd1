"""`fullconv demo`: the main job on generated scenes, from nothing to a report."""


def demo() -> None:
    """Generate scenes, train, evaluate, predict and report."""
