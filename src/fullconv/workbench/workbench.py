"""The workbench as one object: what pages, REST and tests all work with."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field

from fullconv.workbench.catalogue import Catalogue
from fullconv.workbench.checks import Checks
from fullconv.workbench.comparisons import Comparisons
from fullconv.workbench.database import connect
from fullconv.workbench.drawing import Drawing
from fullconv.workbench.feeds import Feeds
from fullconv.workbench.held_images import HeldImages
from fullconv.workbench.jobs.queue import Queue
from fullconv.workbench.jobs.starter import Starter
from fullconv.workbench.layers.reading import Readings
from fullconv.workbench.opened import OpenedDatasets
from fullconv.workbench.predicting.predictor import Predictor
from fullconv.workbench.refusals import Forbidden
from fullconv.workbench.scratch import Scratch
from fullconv.workbench.settings import ServerSettings
from fullconv.workbench.trials.kept import Trials
from fullconv.workspace import Workspace

REFRESH_SECONDS = 1.0

log = logging.getLogger(__name__)


@dataclass
class Workbench:
    """A workspace, its database, its queue, its catalogue, the datasets it has open, and what it predicts with.

    Args:
        settings: how it was started.

    >>> import tempfile
    >>> from pathlib import Path
    >>> bench = Workbench(ServerSettings(Workspace(Path(tempfile.mkdtemp()))))
    >>> bench.catalogue.entries("run")
    []
    """

    settings: ServerSettings
    _over: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.engine = connect(self.settings.database_url)
        self.queue = Queue(self.engine)
        self.catalogue = Catalogue(self.home, self.engine)
        self.starter = Starter(self.settings, self.queue)
        self.feeds = Feeds()
        self.datasets = OpenedDatasets(self.home)
        self.drawing = Drawing(self.home.cache / "datasets")
        self.checks = Checks(self.settings)
        self.comparisons = Comparisons()
        limits = self.settings.limits
        self.predictor = Predictor(limits.waiting, self.settings.allow_code, limits.decoded)
        self.readings = Readings()
        self.scratch = Scratch(self.home)
        self.held_images = HeldImages(self.scratch)
        self.trials = Trials(self.scratch)

    @property
    def home(self) -> Workspace:
        return self.settings.home

    def start(self) -> None:
        """Begin to look after jobs and directories; a read-only workbench starts no jobs."""
        if not self.settings.read_only:
            self.scratch.sweep()
            self.starter.start()
        self._watcher = threading.Thread(target=self._watch, name="catalogue", daemon=True)
        self._watcher.start()

    def stop(self) -> None:
        """Stop looking. Jobs go on."""
        self._over.set()
        self.starter.stop()
        self.comparisons.close()
        self.predictor.stop()
        self.held_images.close()
        self.trials.close()
        self.checks.close()
        self.datasets.close()
        self.drawing.close()
        self.scratch.close()
        self._watcher.join(timeout=10)

    def must_be_writable(self) -> None:
        """Every service that changes something asks this first.

        Raises:
            Forbidden: the workbench was started read-only.
        """
        if self.settings.read_only:
            raise Forbidden("this workbench can only be looked at", remedy="start it without --read-only")

    def _watch(self) -> None:
        failed = False
        while not self._over.is_set():
            try:
                self.catalogue.refresh()
                failed = False
            except Exception:  # the next look may do better; that it fails is said once, and not every second
                if not failed:
                    log.exception("looking at the workspace")
                failed = True
            self._over.wait(REFRESH_SECONDS)
