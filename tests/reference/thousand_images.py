"""Makes many images of few: seeded crops, flips and changes of brightness and contrast of the set-up's photos and of
scikit-image's, as JPEGs.

usage: thousand_images.py SET_UP DIRECTORY [COUNT]
"""

import io
import random
import sys
import zipfile
from pathlib import Path

from PIL import Image, ImageEnhance

SCIKIT_IMAGE = [
    "astronaut.png", "brick.png", "clock_motion.png", "coins.png", "grass.png", "gravel.png", "hubble_deep_field.jpg",
    "ihc.png", "moon.png", "motorcycle_left.png", "page.png", "retina.jpg",
]  # fmt: skip


def sources(set_up):
    photos = sorted(path for path in Path(set_up, "photos").iterdir() if path.suffix in (".jpg", ".png"))
    images = [Image.open(path).convert("RGB") for path in photos]
    (wheel,) = Path(set_up, "downloads").glob("scikit_image-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        for name in SCIKIT_IMAGE:
            images.append(Image.open(io.BytesIO(archive.read(f"skimage/data/{name}"))).convert("RGB"))
    return images


def make(set_up, directory, count=1000, seed=1000):
    """Writes `count` images, always the same with the same version of Pillow."""
    images = sources(set_up)
    draw = random.Random(seed)
    paths = []
    for number in range(count):
        image = images[number % len(images)]
        side = draw.uniform(0.4, 1.0)
        width, height = round(image.width * side), round(image.height * side)
        left, top = draw.randint(0, image.width - width), draw.randint(0, image.height - height)
        image = image.crop((left, top, left + width, top + height))
        if image.width > 1000:
            image = image.resize((image.width // 3, image.height // 3), Image.Resampling.BOX)
        if draw.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        image = ImageEnhance.Brightness(image).enhance(draw.uniform(0.5, 1.5))
        image = ImageEnhance.Contrast(image).enhance(draw.uniform(0.6, 1.4))
        path = Path(directory, f"{number:04}.jpg")
        image.save(path, quality=draw.randint(60, 95))
        paths.append(path)
    return paths


if __name__ == "__main__":
    set_up, directory, *rest = sys.argv[1:]
    Path(directory).mkdir(parents=True, exist_ok=True)
    print(len(make(set_up, directory, *map(int, rest))))
