"""Writes image files of every format and many variants, whose memory is measured while they are decoded.

    memory_cases.py OUT

The files differ in depth, channels, interlacing, compression, orientation and aspect ratio. The pixels are smooth
with some noise, so that files are small next to their images. Everything is seeded.

Needs: pillow, numpy.
"""

import pathlib
import struct
import sys
import zlib

import numpy as np
from PIL import Image

# The tests run it without the script's folder in the path.
sys.path.insert(0, str(pathlib.Path(__file__).parent))
from image_files import PNG_CHANNELS, bmp, bmp_rows, chunk, of_planes, png_of  # noqa: E402

RNG = np.random.default_rng(5)
SIZES = [(640, 480), (97, 1201), (9000, 3)]
# Beyond what JPEG, WebP and GIF can hold.
LONG = [(200_000, 1), (1, 200_000)]


def pixels(size, channels=3):
    width, height = size
    x, y = np.arange(width), np.arange(height)[:, None]
    planes = [(x // 7 + y // 5 + 60 * channel) % 256 for channel in range(channels)]
    noise = RNG.integers(0, 4, (height, width, channels))
    return (np.stack(planes, axis=-1) + noise).clip(0, 255).astype(np.uint8)


def png(size, depth, color, interlaced=False, before=()):
    return png_of(pixels(size, PNG_CHANNELS[color]), depth, color, interlaced, before)


def tiff(size, samples, bits, tile=None, planar=1):
    """An uncompressed TIFF with tiles or planes, which Pillow does not write."""
    width, height = size
    image = pixels(size, samples)
    if bits == 16:
        image = image.astype("<u2") * 257
    pieces = []
    planes = [image] if planar == 1 else [image[..., channel:channel + 1] for channel in range(samples)]
    for plane in planes:
        if tile is None:
            pieces.append(plane.tobytes())
            continue
        for top in range(0, height, tile[1]):
            for left in range(0, width, tile[0]):
                piece = np.zeros((tile[1], tile[0], plane.shape[2]), plane.dtype)
                part = plane[top:top + tile[1], left:left + tile[0]]
                piece[:part.shape[0], :part.shape[1]] = part
                pieces.append(piece.tobytes())
    pieces = [zlib.compress(piece) for piece in pieces]
    data, offsets = bytearray(b"II*\0\0\0\0\0"), []
    for piece in pieces:
        offsets.append(len(data))
        data += piece
    extra = samples - 3 if samples > 3 else samples - 1 if samples == 2 else 0
    tags = [(256, [width]), (257, [height]), (258, [bits] * samples), (259, [8]), (262, [2 if samples > 2 else 1]),
            (277, [samples]), (284, [planar])]
    counts = [len(piece) for piece in pieces]
    if tile is None:
        tags += [(273, offsets), (278, [height]), (279, counts)]
    else:
        tags += [(322, [tile[0]]), (323, [tile[1]]), (324, offsets), (325, counts)]
    if extra:
        tags.append((338, [2] * extra))
    entries = []
    for tag, values in sorted(tags):
        payload = struct.pack(f"<{len(values)}I", *values)
        if len(values) > 1:
            place = len(data)
            data += payload
            payload = struct.pack("<I", place)
        kind = 4
        if tag == 338:
            kind, payload = 3, struct.pack("<HH", *values, 0)
        entries.append(struct.pack("<HHI", tag, kind, len(values)) + payload)
    data[4:8] = struct.pack("<I", len(data))
    return bytes(data + struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4))


def main(out):
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)

    def save(name, size, image, ending, **options):
        image.save(out / f"{name}-{size[0]}x{size[1]}.{ending}", **options)

    for size in [*SIZES, *LONG]:
        rgb = Image.fromarray(pixels(size))
        rgba = Image.fromarray(pixels(size, 4))
        gray = rgb.convert("L")
        for color in [0, 2, 3, 4, 6]:
            for depth in [1, 8, 16]:
                if (depth == 16 and color == 3) or (depth == 1 and color not in (0, 3)):
                    continue
                for interlaced in [False, True]:
                    name = f"png-{depth}-{color}{'-interlaced' if interlaced else ''}-{size[0]}x{size[1]}.png"
                    (out / name).write_bytes(png(size, depth, color, interlaced))
        save("bmp", size, rgb, "bmp")
        save("bmp-gray", size, gray, "bmp")
        save("bmp-palette", size, rgb.quantize(16), "bmp")
        save("bmp-alpha", size, rgba, "bmp")
        save("pnm", size, rgb, "ppm")
        save("pnm-gray", size, gray, "pgm")
        save("pnm-bits", size, gray.convert("1"), "pbm")
        values = " ".join(map(str, pixels(size).reshape(-1)[:3 * 200_000]))
        if size[0] * size[1] <= 200_000:
            (out / f"pnm-text-{size[0]}x{size[1]}.ppm").write_text(f"P3 {size[0]} {size[1]} 255\n{values}\n")
        deep = (np.asarray(gray).astype(">u2") * 257).tobytes()
        (out / f"pnm-deep-{size[0]}x{size[1]}.pgm").write_bytes(b"P5 %d %d 65535\n" % size + deep)
        for compression in ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"]:
            save(f"tiff-{compression}", size, rgb, "tif", compression=compression)
        save("tiff-cmyk", size, rgb.convert("CMYK"), "tif", compression="tiff_lzw")
        save("tiff-alpha", size, rgba, "tif", compression="tiff_lzw")
        save("tiff-turned", size, rgb, "tif", compression="tiff_lzw", tiffinfo={274: 6})
        for samples, bits in [(1, 8), (1, 16), (2, 8), (3, 16), (4, 16)]:
            (out / f"tiff-{samples}-{bits}-{size[0]}x{size[1]}.tif").write_bytes(tiff(size, samples, bits))
        (out / f"tiff-planes-{size[0]}x{size[1]}.tif").write_bytes(tiff(size, 3, 8, planar=2))
        if size not in LONG:
            (out / f"tiff-tiles-{size[0]}x{size[1]}.tif").write_bytes(tiff(size, 3, 8, tile=(256, 256)))
            (out / f"tiff-big-tile-{size[0]}x{size[1]}.tif").write_bytes(tiff(size, 3, 8, tile=(4096, 1024)))
            if size[0] < 20000:
                save("tiff-jpeg", size, gray, "tif", compression="jpeg")
            save("gif", size, rgb.quantize(64), "gif")
            save("gif-interlaced", size, rgb.quantize(200), "gif", interlace=1)
            second = Image.fromarray(pixels(size)[::-1])
            save("gif-animated", size, rgb, "gif", save_all=True, append_images=[second])
            for orientation in [1, 3, 6, 7]:
                save(f"jpeg-turned-{orientation}", size, rgb, "jpg", exif=exif(orientation))
            for progressive in [False, True]:
                name = "jpeg-progressive" if progressive else "jpeg"
                for subsampling in [0, 1, 2]:
                    save(f"{name}-{subsampling}", size, rgb, "jpg", progressive=progressive, subsampling=subsampling)
                save(f"{name}-gray", size, gray, "jpg", progressive=progressive)
                save(f"{name}-cmyk", size, rgb.convert("CMYK"), "jpg", progressive=progressive)
                save(f"{name}-rgb", size, rgb, "jpg", progressive=progressive, keep_rgb=True)
        if max(size) <= 16383:
            for name, image in [("webp", rgb), ("webp-alpha", rgba)]:
                save(name, size, image, "webp", method=0)
                save(f"{name}-lossless", size, image, "webp", lossless=True, method=0, quality=0)
                save(f"{name}-turned", size, image, "webp", method=0, exif=exif(8))
                save(f"{name}-animated", size, image, "webp", method=0, save_all=True, append_images=[image.rotate(180)])
                save(f"{name}-animated-lossless", size, image, "webp", method=0, quality=0, lossless=True, save_all=True,
                     append_images=[image.rotate(180)])
    # Photos that compress badly: many tables, large partitions.
    noise = Image.fromarray(RNG.integers(0, 256, (900, 1000, 3), dtype=np.uint8))
    save("noise", noise.size, noise, "jpg", quality=95, progressive=True)
    save("noise", noise.size, noise, "webp", quality=100, method=4)
    save("noise-lossless", noise.size, noise, "webp", lossless=True, method=6, quality=100)
    save("noise", noise.size, noise, "png")
    # A colour profile of 200 MB, compressed to 200 KB.
    profile = b"icc\0\0" + zlib.compress(bytes(200 << 20), 9)
    (out / "png-profile-64x64.png").write_bytes(png((64, 64), 8, 2, before=[chunk(b"iCCP", profile)]))
    # A frame that is smaller than its canvas, and one that is larger.
    gif = (out / "gif-640x480.gif").read_bytes()
    (out / "gif-large-canvas.gif").write_bytes(gif[:6] + struct.pack("<HH", 3000, 2000) + gif[10:])
    (out / "gif-small-canvas.gif").write_bytes(gif[:6] + struct.pack("<HH", 30, 20) + gif[10:])
    more(out)
    print(f"{sum(1 for _ in out.iterdir())} files")


def exif(orientation):
    data = Image.Exif()
    data[274] = orientation
    return data.tobytes()


def more(out):
    """Formats, and what claims more than it has."""

    def save(name, image, ending, **options):
        image.save(out / f"{name}.{ending}", **options)

    rgb, rgba = Image.fromarray(pixels((640, 480))), Image.fromarray(pixels((640, 480), 4))
    for name, image in [("rgb", rgb), ("rgba", rgba), ("grey", rgb.convert("L")), ("palette", rgb.quantize(60))]:
        save(f"tga-{name}", image, "tga")
        save(f"tga-runs-{name}", image, "tga", compression="tga_rle")
    save("tga-bits", rgb.convert("1"), "tga")
    # What is copied to be read: a bitmap without an offset, and text with comments.
    bitmap = bmp(640, 480, 24, bmp_rows(pixels((640, 480)), 24))
    (out / "bmp-no-offset.bmp").write_bytes(bitmap[:10] + bytes(4) + bitmap[14:])
    values = "#\n ".join(map(str, pixels((640, 480)).reshape(-1)))
    (out / "pnm-comments.ppm").write_text(f"P3 640 480 255\n{values}\n")
    (out / "pnm-comment.ppm").write_text(f"P3 640 480 255\n{values.replace('#', '')}\n#")
    for index, factors in enumerate([[(1, 1), (2, 2), (2, 2)], [(1, 1), (4, 1), (2, 1)], [(2, 1), (1, 2), (1, 1)]]):
        for size in SIZES:
            (out / f"jpeg-planes-{index}-{size[0]}x{size[1]}.jpg").write_bytes(of_planes(*size, factors))
    # Texts of 600 KB, compressed.
    text = zlib.compress(bytes(600_000), 9)
    texts = [chunk(b"zTXt", b"Raw profile type exif\0\0" + text), chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + text)]
    (out / "png-texts.png").write_bytes(png((64, 64), 8, 2, before=texts))
    save("qoi", rgba, "qoi")
    save("ico", rgba.resize((256, 256)), "ico")
    save("ico-bitmap", rgba.resize((256, 256)), "ico", bitmap_format="bmp")
    for progressive in (False, True):
        for subsampling in (1, 2):
            save(f"jpeg-ink-{subsampling}-{progressive}", rgb.convert("CMYK"), "jpg", progressive=progressive,
                 subsampling=subsampling)
    for mode in ("L", "RGB", "CMYK"):
        save(f"tiff-jpeg-{mode}", rgb.convert(mode), "tif", compression="jpeg")
    for compression in ("tiff_ccitt", "group3", "group4"):
        save(f"tiff-{compression}", rgb.convert("1"), "tif", compression=compression)
    save("tiff-floats", Image.fromarray(np.asarray(rgb.convert("L")).astype(np.float32)), "tif", compression="tiff_lzw")
    small = Image.fromarray(pixels((64, 48), 4))
    save("webp-animated-alpha", rgba, "webp", save_all=True, append_images=[rgba.rotate(180)], method=0)
    save("webp-profile", rgb, "webp", lossless=True, method=0, icc_profile=b"profile")
    save("webp-small-animated", small, "webp", save_all=True, append_images=[small.rotate(180)], lossless=True)
    # 30 bytes for 4000 x 3000 pixels of one colour: codes that take no bits.
    fields = [(3999, 14), (2999, 14), (0, 1), (0, 3), (0, 1), (0, 1), (0, 1)] + 5 * [(1, 1), (0, 1), (0, 1), (0, 1)]
    value = place = 0
    for field, bits in fields:
        value |= field << place
        place += bits
    body = b"\x2f" + value.to_bytes(place // 8 + 3, "little")
    body = b"VP8L" + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
    (out / "webp-one-colour.webp").write_bytes(b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body)
    # A chunk of metadata that claims 4 GB.
    save("webp-small-turned", small, "webp", lossless=True, exif=exif(8))
    save("webp-small-described", small, "webp", lossless=True, xmp=b"<x/>")
    for name, kind in [("turned", b"EXIF"), ("described", b"XMP ")]:
        body = (out / f"webp-small-{name}.webp").read_bytes()
        at = body.rindex(kind) + 4
        (out / f"webp-claims-{name}.webp").write_bytes(body[:at] + struct.pack("<I", 0xFFFF_FFF0) + body[at + 4:])
    # 35 bytes for a screen of 4000 x 3000 pixels with a frame of one.
    screen = b"GIF89a" + struct.pack("<HHBBB", 4000, 3000, 0x80, 0, 0) + bytes(6)
    (out / "gif-screen.gif").write_bytes(screen + b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\2\2\x44\1\0;")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
