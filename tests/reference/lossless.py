"""Usage: lossless.py FOLDER PHOTO... — writes each photo as PNG and as BMP into FOLDER, so that
decoders have no freedom."""

import sys
from pathlib import Path

from PIL import Image

folder = Path(sys.argv[1])
for name in sys.argv[2:]:
    photo = Path(name)
    with Image.open(photo) as image:
        rgb = image.convert("RGB")
    for ending in ("png", "bmp"):
        rgb.save(folder / f"{photo.stem}.{ending}")
