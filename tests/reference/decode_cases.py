"""Writes JPEG files of every kind, and the pixels that Pillow makes of them.

    decode_cases.py OUT PHOTO_FOLDER

OUT gets `manifest.jsonl`, one case a line:
    {"file": FILE, "reduction": 1 | 2 | 4 | 8, "expected": FILE, "width": W, "height": H, "kind": KIND,
     "opencv_equal": true | false | null}
`expected` is raw RGB, 8 bits a channel, rows from top to bottom, upright, decoded at 1/`reduction` of its size.
`opencv_equal` says whether OpenCV reads the same pixels (null where it was not asked). Everything generated is seeded.

Needs: pillow, numpy, opencv-python-headless.
"""

import io
import json
import pathlib
import random
import sys

import cv2
import numpy as np
from PIL import Image, ImageOps

SAMPLING = {
    "4:4:4": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    "4:4:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440,
    "4:2:2": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    "4:2:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    "4:1:1": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411,
}
# Around the blocks of 8 and 16 pixels, single rows and columns, and sizes of photos.
SIZES = [(1, 1), (2, 1), (1, 2), (3, 5), (7, 8), (8, 7), (9, 16), (15, 17), (16, 16), (17, 31), (33, 32), (40, 3), (3, 40),
         (64, 48), (97, 101), (127, 63), (1, 500), (500, 1), (640, 9), (333, 500)]


def encode(pixels, sampling, quality, progressive, restart):
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_PROGRESSIVE, int(progressive), cv2.IMWRITE_JPEG_RST_INTERVAL, restart]
    if sampling:
        flags += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, SAMPLING[sampling]]
    done, data = cv2.imencode(".jpg", pixels, flags)
    assert done
    return data.tobytes()


def image(rng, noise, width, height, photos):
    """A piece of a photo, noise, or a smooth gradient."""
    kind = rng.randrange(3)
    if kind == 0:
        photo = rng.choice(photos)
        return np.asarray(Image.fromarray(photo).resize((width, height), Image.Resampling.BOX))
    if kind == 1:
        return noise.integers(0, 256, (height, width, 3), dtype=np.uint8)
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // max(width - 1, 1), y * 255 // max(height - 1, 1), (x * 7 + y * 3) % 256], -1).astype(np.uint8)


def four_channels(pixels, quality, ycck):
    """Pillow writes CMYK with an Adobe marker; with transform 2 in it the same data are YCCK."""
    data = io.BytesIO()
    Image.fromarray(pixels).convert("CMYK").save(data, "JPEG", quality=quality)
    data = bytearray(data.getvalue())
    at = data.index(b"Adobe")
    assert data[at + 11] == 0
    if ycck:
        data[at + 11] = 2
    return bytes(data)


def cases(photo_folder):
    """Yields (kind, bytes of the file)."""
    rng, noise = random.Random(7), np.random.default_rng(7)
    photos = []
    for path in sorted(pathlib.Path(photo_folder).iterdir()):
        if path.suffix in {".jpg", ".png"}:
            photos.append(np.asarray(Image.open(path).convert("RGB")))
        if path.suffix == ".jpg":
            yield "photo", path.read_bytes()
    for width, height in SIZES:
        for sampling in SAMPLING:
            for progressive in (False, True):
                pixels = image(rng, noise, width, height, photos)
                restart = rng.choice([0, 0, 1, 3])
                quality = rng.choice([10, 50, 75, 90, 95, 100])
                kind = f"{sampling} {'progressive' if progressive else 'baseline'}{' restarts' if restart else ''}"
                yield kind, encode(pixels, sampling, quality, progressive, restart)
        pixels = image(rng, noise, width, height, photos)
        yield "grey", encode(pixels[..., 0], None, 80, False, 0)
        yield "grey progressive", encode(pixels[..., 1], None, 80, True, 0)
        yield "CMYK", four_channels(pixels, 85, False)
        yield "YCCK", four_channels(pixels, 85, True)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=85, keep_rgb=True)
        yield "RGB, no transform", buffer.getvalue()
        orientation = rng.randint(1, 8)
        buffer, exif = io.BytesIO(), Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(pixels).save(buffer, "JPEG", quality=85, exif=exif)
        yield "EXIF orientation", buffer.getvalue()
    # 12 megapixels.
    large = np.asarray(Image.fromarray(photos[0]).resize((4000, 3000), Image.Resampling.HAMMING))
    yield "12 megapixels", encode(large, "4:2:0", 85, False, 0)
    yield "12 megapixels", encode(large, "4:2:2", 85, True, 0)


def decoded(data, reduction):
    """The pixels, and by how much they were really reduced: Pillow reduces small images by less."""
    image = Image.open(io.BytesIO(data))
    if reduction > 1:
        image.draft(None, tuple(max(side // reduction, 1) for side in image.size))
        reduction = image.decoderconfig[0]
    return np.asarray(ImageOps.exif_transpose(image).convert("RGB")), reduction


def main(out, photo_folder):
    out = pathlib.Path(out)
    with open(out / "manifest.jsonl", "w", encoding="utf-8") as manifest:
        for index, (kind, data) in enumerate(cases(photo_folder)):
            file = f"{index}.jpg"
            (out / file).write_bytes(data)
            for wanted in (1, 2 << index % 3):
                pixels, reduction = decoded(data, wanted)
                expected = f"{index}-{wanted}.rgb"
                (out / expected).write_bytes(pixels.tobytes())
                # OpenCV has its own, coarser way from four channels to three.
                ask_opencv = wanted == 1 and kind not in {"CMYK", "YCCK"}
                theirs = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if ask_opencv else None
                manifest.write(json.dumps({
                    "file": file, "reduction": reduction, "expected": expected,
                    "width": pixels.shape[1], "height": pixels.shape[0], "kind": kind,
                    "opencv_equal": None if theirs is None else bool(np.array_equal(theirs[..., ::-1], pixels)),
                }) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
