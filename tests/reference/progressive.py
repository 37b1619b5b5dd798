"""Usage: progressive.py FILE — writes a progressive JPEG of 512 x 512 random pixels. Works with the set-up's Python."""

import sys

import numpy as np
from PIL import Image

noise = np.random.default_rng(1).integers(0, 256, (512, 512, 3), dtype=np.uint8)
Image.fromarray(noise).save(sys.argv[1], progressive=True)
