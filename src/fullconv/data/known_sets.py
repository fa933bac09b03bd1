"""Classes and colours of public datasets that come without a class file."""

from __future__ import annotations

from fullconv.data.class_files import ClassEntry
from fullconv.data.colormaps import voc_colormap

_VOC_NAMES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)

_CITYSCAPES = """
0 unlabeled 0 0 0 ignored
1 ego_vehicle 0 0 0 ignored
2 rectification_border 0 0 0 ignored
3 out_of_roi 0 0 0 ignored
4 static 0 0 0 ignored
5 dynamic 111 74 0 ignored
6 ground 81 0 81 ignored
7 road 128 64 128
8 sidewalk 244 35 232
9 parking 250 170 160 ignored
10 rail_track 230 150 140 ignored
11 building 70 70 70
12 wall 102 102 156
13 fence 190 153 153
14 guard_rail 180 165 180 ignored
15 bridge 150 100 100 ignored
16 tunnel 150 120 90 ignored
17 pole 153 153 153
18 polegroup 153 153 153 ignored
19 traffic_light 250 170 30
20 traffic_sign 220 220 0
21 vegetation 107 142 35
22 terrain 152 251 152
23 sky 70 130 180
24 person 220 20 60
25 rider 255 0 0
26 car 0 0 142
27 truck 0 0 70
28 bus 0 60 100
29 caravan 0 0 90 ignored
30 trailer 0 0 110 ignored
31 train 0 80 100
32 motorcycle 0 0 230
33 bicycle 119 11 32
"""

_SYNTHIA = """
0 void 0 0 0 ignored
1 sky 70 130 180
2 building 70 70 70
3 road 128 64 128
4 sidewalk 244 35 232
5 fence 64 64 128
6 vegetation 107 142 35
7 pole 153 153 153
8 car 0 0 142
9 traffic_sign 220 220 0
10 pedestrian 220 20 60
11 bicycle 119 11 32
12 motorcycle 0 0 230
13 parking_slot 250 170 160
14 road_work 128 64 64
15 traffic_light 250 170 30
16 terrain 152 251 152
17 rider 255 0 0
18 truck 0 0 70
19 bus 0 60 100
20 train 0 80 100
21 wall 102 102 156
22 lanemarking 157 234 50
"""


def _parse(table: str) -> tuple[ClassEntry, ...]:
    rows = [line.split() for line in table.strip().splitlines()]
    return tuple(
        ClassEntry(row[1], int(row[0]), (int(row[2]), int(row[3]), int(row[4])), row[-1] == "ignored") for row in rows
    )


CITYSCAPES = _parse(_CITYSCAPES)
"""The 34 label ids; those left out of the benchmark are ignored."""

CITYSCAPES_TRAINING = tuple(
    ClassEntry(entry.name, index, entry.color)
    for index, entry in enumerate(entry for entry in CITYSCAPES if not entry.ignored)
)
"""The 19 training ids of `*_labelTrainIds`."""

SYNTHIA = _parse(_SYNTHIA)
"""The 23 classes, lane markings in a colour of their own; the older releases use the first 12 or 13."""

VOC = (
    *(
        ClassEntry(name, index, (int(color[0]), int(color[1]), int(color[2])))
        for index, (name, color) in enumerate(zip(_VOC_NAMES, voc_colormap(21), strict=True))
    ),
    ClassEntry("void", 255, (224, 224, 192), True),
)
"""The 20 classes, background, and the border that counts for nothing."""
