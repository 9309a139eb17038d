"""The ten classes, in label order: the same list as `proctor_types::Class`, which the node checks at start."""

NAMES = [
    "background",
    "abdominal_wall",
    "liver",
    "gallbladder",
    "cystic_duct",
    "cystic_artery",
    "fat",
    "instrument_shaft",
    "instrument_wrist",
    "instrument_jaws",
]
BACKGROUND, SHAFT, WRIST, JAWS = 0, 7, 8, 9
# Label of what belongs to no class (`proctor_types::anatomy::UNKNOWN`).
UNKNOWN = 255

# Input contract, written into model.toml: (value / 255 - MEAN) / STD, RGB. Generic values, not fitted to any data.
WIDTH, HEIGHT = 640, 480
MEAN = (0.5, 0.35, 0.3)
STD = (0.25, 0.25, 0.25)
