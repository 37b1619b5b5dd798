"""Writes cases for the resamplers: source images, operations, and what Pillow and OpenCV make of them.

    resample_cases.py [--quick] OUT [PHOTO_FOLDER...]

With --quick no image has more than 0.3 megapixels, and there are fewer random ones.

OUT gets `manifest.jsonl`, one case a line:
    {"source": FILE, "width": W, "height": H, "op": {"pillow": FILTER, "box": null | [l, t, r, b]} | "opencv",
     "to_width": W, "to_height": H, "expected": FILE, "kind": "photo" | "generated"}
Files are raw RGB, 8 bits a channel, interleaved, rows from top to bottom without padding. `versions.json` names the
versions of the two libraries. Everything generated is seeded: the same versions write the same bytes.

Needs: pillow, numpy, opencv-python-headless.
"""

import json
import pathlib
import random
import sys

import cv2
import numpy as np
import PIL
from PIL import Image

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

# Sides that reach every edge of the vector code: around its blocks, and both extremes.
SMALL_SIZES = [(1, 1), (2, 1), (1, 2), (2, 2), (3, 3), (4, 5), (5, 4), (7, 9), (8, 8), (10, 11), (11, 10), (13, 17),
               (16, 16), (31, 33), (32, 32), (33, 31), (64, 48), (97, 101), (127, 63), (224, 224), (255, 257)]
LONG_SIZES = [(1, 5000), (5000, 1), (3, 2000), (2000, 3), (2, 4096), (4096, 2), (40, 3000), (3000, 40),
              (1_100_000, 1), (1_100_000, 3), (1, 1_100_000)]
LARGE_SIZES = [(4000, 3000), (3000, 4000), (2048, 1536), (1920, 1080)]
TARGETS = [(224, 224), (227, 227), (256, 256), (299, 299), (1, 1), (2, 3), (5, 7), (10, 10), (11, 300), (300, 11),
           (64, 64), (448, 336)]


def generated(rng, noise, quick):
    """Yields (width, height, image) of all kinds and sizes."""
    for index, (width, height) in enumerate(SMALL_SIZES + LONG_SIZES + ([] if quick else LARGE_SIZES)):
        kinds = ["noise", "gradient", "checkerboard", "extremes"]
        # Large images cost disk space: one kind of each.
        for kind in kinds if width * height < 100_000 else kinds[index % 4: index % 4 + 1]:
            yield draw(kind, width, height, rng, noise)
    for _ in range(20 if quick else 120):
        width, height = (int(2 ** rng.uniform(0, 9.5)) for _ in range(2))
        yield draw(rng.choice(["noise", "gradient", "checkerboard", "extremes"]), width, height, rng, noise)


def draw(kind, width, height, rng, noise):
    """One image as an array (height, width, 3) of bytes."""
    if kind == "noise":
        return noise.integers(0, 256, (height, width, 3), dtype=np.uint8)
    if kind == "extremes":
        # Only 0 and 255: the strongest overshoot of filters with negative lobes.
        return (noise.integers(0, 2, (height, width, 3)) * 255).astype(np.uint8)
    y, x = np.mgrid[0:height, 0:width]
    if kind == "gradient":
        channels = [x * 255 // max(width - 1, 1), y * 255 // max(height - 1, 1), (x + y) * 3 % 256]
        return np.stack(channels, axis=-1).astype(np.uint8)
    cell = rng.choice([1, 2, 3, 8])
    on = ((x // cell + y // cell) % 2).astype(bool)[..., None]
    return np.where(on, np.uint8([255, 250, 3]), np.uint8([0, 5, 252])).astype(np.uint8)


def boxes(width, height, rng):
    """Source boxes: whole, on pixels, fractional, thin, and at the edges."""
    yield None
    left, top = rng.randrange(width), rng.randrange(height)
    yield [left, top, rng.randint(left + 1, width), rng.randint(top + 1, height)]
    left, top = rng.uniform(0, width * 0.9), rng.uniform(0, height * 0.9)
    yield [left, top, rng.uniform(left + width * 0.01, width), rng.uniform(top + height * 0.01, height)]
    yield rng.choice([
        [0, 0, width, height],
        [0.5, 0, width, height],
        [0, 0.25, width, height - 0.25],
        [width - 0.5, height - 0.5, width, height],
        [0, 0, 0.125, 0.125],
        [width / 3, height / 3, 2 * width / 3, 2 * height / 3],
    ])


def pillow_cases(image, rng, wanted):
    """Yields (operation, target size, expected array)."""
    height, width = image.shape[:2]
    image = Image.fromarray(image)
    for box in boxes(width, height, rng):
        sizes = [rng.choice(TARGETS)]
        if rng.random() < 0.3:
            # One axis unchanged: Pillow skips its pass.
            sizes.append(rng.choice([(width, rng.randint(1, 300)), (rng.randint(1, 300), height), (width, height)]))
        if rng.random() < 0.2 and box is not None:
            # The size of the box: Pillow crops if it starts on a pixel, and resamples otherwise.
            sizes.append((max(1, round(box[2] - box[0])), max(1, round(box[3] - box[1]))))
        if rng.random() < 0.2:
            sizes.append((max(1, width // 2), max(1, height // 2)))
        for size in sizes:
            if size[0] * size[1] > 2_000_000:
                continue
            for name in FILTERS if wanted is None else rng.sample(list(FILTERS), wanted):
                result = image.resize(size, FILTERS[name], None if box is None else tuple(box))
                yield {"pillow": name, "box": box}, size, np.asarray(result)


def opencv_cases(image, rng):
    """Yields (operation, target size, expected array)."""
    height, width = image.shape[:2]
    sizes = set(rng.sample(TARGETS, 3))
    sizes |= {(max(1, width // 2), max(1, height // 2)), (width, height), (width, max(1, height // 2)),
              (max(1, width // 2), height), (max(1, width // 4), max(1, height // 4)),
              (rng.randint(1, 400), rng.randint(1, 400))}
    if width * height < 40_000:
        sizes |= {(2 * width, 2 * height), (3 * width, 2 * height), (width + 1, height + 1)}
    for size in sorted(sizes):
        if size[0] * size[1] <= 4_000_000:
            yield "opencv", size, cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)


def photos(folders):
    """Yields the RGB images of the folders."""
    for folder in folders:
        for path in sorted(pathlib.Path(folder).rglob("*")):
            if path.suffix.lower() in {".jpg", ".jpeg", ".png", ".bmp"}:
                try:
                    yield np.asarray(Image.open(path).convert("RGB"))
                except (OSError, ValueError) as error:
                    print(f"skipped {path}: {error}", file=sys.stderr)


def main(out, *folders, quick=False):
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    rng, noise = random.Random(20), np.random.default_rng(20)
    (out / "versions.json").write_text(json.dumps({"pillow": PIL.__version__, "opencv": cv2.__version__}))
    count = 0
    with open(out / "manifest.jsonl", "w", encoding="utf-8") as manifest:
        sources = [("photo", image) for image in photos(folders)]
        if quick:
            sources = [(kind, image) for kind, image in sources if image.size <= 900_000]
        large = [image for _, image in sources if image.shape[0] * image.shape[1] > 150_000]
        # The sample folders hold no photo of 12 megapixels: enlarge a few, with an independent filter.
        sources += [("photo", np.asarray(Image.fromarray(image).resize((4000, 3000), Image.Resampling.HAMMING)))
                    for image in large[:0 if quick else 3]]
        for index, (kind, image) in enumerate([*sources, *(("generated", p) for p in generated(rng, noise, quick))]):
            image = np.ascontiguousarray(image)
            height, width = image.shape[:2]
            source = f"{index}.rgb"
            (out / source).write_bytes(image.tobytes())
            wanted = 2 if quick else None if width * height < 1_000_000 else 3
            for operation, size, expected in [*pillow_cases(image, rng, wanted), *opencv_cases(image, rng)]:
                assert expected.shape == (size[1], size[0], 3), (operation, size, expected.shape)
                name = f"{index}-{count}.expected"
                (out / name).write_bytes(expected.tobytes())
                manifest.write(json.dumps({
                    "source": source, "width": width, "height": height, "op": operation, "to_width": size[0],
                    "to_height": size[1], "expected": name, "kind": kind,
                }) + "\n")
                count += 1
    print(f"{index + 1} images, {count} cases, Pillow {PIL.__version__}, OpenCV {cv2.__version__}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    quick = sys.argv[1] == "--quick"
    main(*sys.argv[2 if quick else 1:], quick=quick)
