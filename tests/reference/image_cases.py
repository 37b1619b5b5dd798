"""Writes images of every format, depth, mode, compression and orientation, and the pixels that Pillow makes of them.

    image_cases.py OUT

OUT gets the files and `manifest.jsonl`, one case a line:
    {"file": FILE, "kind": KIND, "expected": FILE | null, "width": W, "height": H, "note": CODE | null,
     "refused": CODE | null}
`expected` is raw RGB, 8 bits a channel, upright. `refused` is the code of the error that is expected instead of pixels.

Needs: pillow, numpy.
"""

import io
import json
import pathlib
import struct
import sys
import zlib

import numpy as np
from PIL import Image

# The tests run it without the script's folder in the path.
sys.path.insert(0, str(pathlib.Path(__file__).parent))
from image_files import (bmp, bmp_rows, chunk, exif, exif_of, gif, ico, insert_segment, of_planes, pattern, png, reference,
                         same_ids, tiff, with_later_height, without_last_scans, xmp)

SIZES = [(1, 1), (7, 5), (33, 31), (64, 48)]


def saved(image, format, **options):
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def jpegs():
    for width, height in [*SIZES, (16, 16), (97, 61), (2, 9), (5, 3)]:
        image = Image.fromarray(pattern(width, height, 4), "CMYK")
        for progressive in (False, True):
            for subsampling, name in enumerate(("4:4:4", "4:2:2", "4:2:0")):
                data = saved(image, "JPEG", subsampling=subsampling, progressive=progressive, quality=85)
                place = data.index(b"Adobe")
                ycck = data[:place + 11] + b"\2" + data[place + 12:]
                yield f"jpeg cmyk {name}", data, {}
                yield f"jpeg ycck {name}", ycck, {}
        rgb = Image.fromarray(pattern(width, height, 3))
        for progressive in (False, True):
            for subsampling in (0, 1, 2):
                data = saved(rgb, "JPEG", subsampling=subsampling, progressive=progressive)
                if not progressive:
                    yield "jpeg ids equal", same_ids(data), {}
                    yield "jpeg ids zero", same_ids(data, 0), {}
        yield "jpeg ids equal grey", same_ids(saved(rgb.convert("L"), "JPEG")), {}
        data = bytearray(saved(rgb, "JPEG"))
        frame = data.index(b"\xff\xc0")
        # The scan names components that the frame lacks; Pillow refuses it, too.
        for ids in ((1, 1, 3), (1, 2, 1), (1, 2, 2), (5, 5, 5)):
            data[frame + 10:frame + 19:3] = bytes(ids)
            yield "jpeg ids not repeated", bytes(data), {"refused": "unsupported-picture"}
        # Luma that is sampled less than chroma.
        for factors in ([(1, 1), (2, 2), (2, 2)], [(1, 1), (1, 1), (2, 1)], [(2, 1), (1, 2), (1, 1)], [(1, 1), (1, 2), (1, 1)],
                        [(1, 1), (4, 1), (2, 1)], [(2, 2), (1, 1), (1, 1)], [(1, 1), (1, 1), (1, 1)]):
            yield "jpeg planes", of_planes(width, height, factors), {}
        yield "jpeg height later", with_later_height(saved(rgb, "JPEG")), {"refused": "unsupported-picture"}
    rgb = Image.fromarray(pattern(64, 48, 3))
    data = saved(rgb, "JPEG", progressive=True)
    for scans in range(1, 10):
        yield "jpeg scans missing", without_last_scans(data, scans), {"note": "scans-missing"}
    ink = saved(Image.fromarray(pattern(64, 48, 4), "CMYK"), "JPEG", progressive=True, subsampling=2)
    yield "jpeg scans missing cmyk", without_last_scans(ink, 3), {"refused": "unsupported-picture"}
    yield "jpeg scans complete", without_last_scans(data, 10), {}
    yield "jpeg progressive", data, {}


def orientations():
    rgb = Image.fromarray(pattern(33, 20, 3))
    jpeg, plain = saved(rgb, "JPEG"), saved(rgb, "PNG")
    webp = saved(rgb, "WEBP", lossless=True, exif=b"EXIF-IS-HERE")

    def png_with(*chunks, after=False):
        place = plain.index(b"IEND") - 4 if after else 33
        return plain[:place] + b"".join(chunks) + plain[place:]

    def webp_with(block, kind=b"EXIF"):
        place = webp.index(b"EXIF")
        data = webp[:place] + kind + struct.pack("<I", len(block)) + block + b"\0" * (len(block) % 2)
        flags = 0x08 if kind == b"EXIF" else 0x04
        data = data[:20] + bytes([data[20] & ~0x0c | flags]) + data[21:]
        return data[:4] + struct.pack("<I", len(data) - 8) + data[8:]

    def webp_with_flags(flags, *chunks):
        data = saved(rgb, "WEBP", lossless=True)[12:]
        body = struct.pack("<4sIIHBHB", b"VP8X", 10, flags, 32, 0, 19, 0) + data
        for kind, block in chunks:
            body += kind + struct.pack("<I", len(block)) + block + b"\0" * (len(block) % 2)
        return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body

    for block, packet in ((exif(6), xmp(8)), (exif(9), xmp(3))):
        for flags in (0, 4, 8, 12):
            # A chunk without its flag does not count, and a flag without its chunk does no harm.
            for chunks in ([], [(b"EXIF", block)], [(b"XMP ", packet)], [(b"EXIF", block), (b"XMP ", packet)]):
                yield "webp orientation flags", webp_with_flags(flags, *chunks), {}
    value = {orientation: struct.pack("<I", orientation) for orientation in range(1, 9)}
    outside = (271, 2, 9, b"\xff\xff\0\0")
    packet = xmp(8)
    for name, block in {
        "twice": exif_of((274, 3, 1, value[6]), (274, 3, 1, value[3])),
        "twice, the first of no type": exif_of((274, 0, 1, value[6]), (274, 3, 1, value[3])),
        "twice, the first without values": exif_of((274, 3, 0, value[6]), (274, 3, 1, value[3])),
        "type 0": exif_of((274, 0, 1, value[6])),
        "type 13": exif_of((274, 13, 1, value[6])),
        "type 14": exif_of((274, 14, 1, value[6])),
        "type 16": exif_of((274, 16, 1, b"\x1a\0\0\0")) + value[6] + bytes(4),
        "type 17": exif_of((274, 17, 1, b"\x1a\0\0\0")) + value[6] + bytes(4),
        "type 129": exif_of((274, 129, 1, value[6])),
        "two values": exif_of((274, 3, 2, b"\6\0\3\0")),
        "three values": exif_of((274, 3, 3, b"\x1a\0\0\0")) + b"\6\0\3\0\3\0",
        "no values": exif_of((274, 3, 0, value[6])),
        "values outside": exif_of((274, 3, 9, b"\xff\xff\0\0")),
        "behind a value outside": exif_of(outside, (274, 3, 1, value[6])),
        "before a value outside": exif_of((274, 3, 1, value[6]), outside),
        "behind too many values": exif_of((271, 2, 1 << 31, value[6]), (274, 3, 1, value[6])),
        "behind a tag again": exif_of((271, 2, 1, value[6]), (271, 2, 1 << 31, value[6]),
                                      (274, 16, 3, struct.pack("<I", 50))) + value[6] + bytes(20),
        "behind a cut": exif_of((274, 3, 1, value[6]), count=3),
        "in a cut": exif_of((274, 3, 1, value[6]))[:18],
        "no directory": exif_of((274, 3, 1, value[6]))[:8],
    }.items():
        for beside in ([], [packet]):
            texts = [chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + text) for text in beside]
            yield f"png orientation {name}", png_with(chunk(b"eXIf", block), *texts), {}
            chunks = [(b"EXIF", block), *((b"XMP ", text) for text in beside)]
            yield f"webp orientation {name}", webp_with_flags(8 + 4 * len(beside), *chunks), {}
            data = insert_segment(jpeg, 0xe1, b"Exif\0\0" + block)
            for text in beside:
                data = insert_segment(data, 0xe1, b"http://ns.adobe.com/xap/1.0/\0" + text)
            yield f"jpeg orientation {name}", data, {}
    # What does not begin as a block: Pillow then ignores XMP too, and rejects the other formats.
    for block in (b"", b"II", b"II*\0", b"xxxx" + exif(6), b"Exif\0\0" * 3 + exif(6), b"II+\0" + exif(6)[4:],
                  b"MM\0+" + exif(6)[4:], b"II*\0\xff\xff\0\0", b"II\0*" + exif(6)[4:], b"MM*\0" + exif(6, order=">")[4:]):
        data = insert_segment(jpeg, 0xe1, b"http://ns.adobe.com/xap/1.0/\0" + packet)
        yield "jpeg orientation start", insert_segment(data, 0xe1, b"Exif\0\0" + block), {}
    # Texts of PNG, of which the last one with a key counts.
    key, profile = b"XML:com.adobe.xmp\0", b"Raw profile type exif\0"
    digits = f"\nexif\n{len(exif(6)):8}\n{exif(6).hex()}\n".encode()
    texts = {
        "text": chunk(b"tEXt", key + xmp(6)),
        "compressed": chunk(b"zTXt", key + b"\0" + zlib.compress(xmp(3))),
        "cut short": chunk(b"zTXt", key + b"\0" + zlib.compress(xmp(5))[:-9]),
        "damaged": chunk(b"zTXt", key + b"\0xx" + zlib.compress(xmp(5))),
        "empty": chunk(b"tEXt", key),
        "international": chunk(b"iTXt", key + b"\0\0\0\0" + xmp(8)),
        "other method": chunk(b"iTXt", key + b"\1\1\0\0" + zlib.compress(xmp(2))),
        "no UTF-8": chunk(b"iTXt", key + b"\0\0\0\0\xff" + xmp(4)),
        "profile": chunk(b"iTXt", profile + b"\0\0\0\0" + digits),
        "block": chunk(b"tEXt", b"exif\0" + exif(7)),
    }
    for first, one in texts.items():
        yield f"png orientation {first}", png_with(one), {}
        for second, two in texts.items():
            yield f"png orientation {first} and {second}", png_with(one, two), {}
            yield f"png orientation {first} and {second} after", png_with(one, two, after=True), {}
    # Of an animation, the chunks behind the first frame count only if there is no second one.
    place = plain.index(b"IEND") - 4
    for frames in (1, 2):
        for is_frame in (False, True):
            control = [chunk(b"fcTL", struct.pack(">5I2H2B", number, 33, 20, 0, 0, 1, 10, 0, 0)) for number in (0, 1)]
            start = chunk(b"acTL", struct.pack(">II", frames, 0)) + control[0] * is_frame
            animation = plain[:33] + start + plain[33:place] + control[is_frame]
            yield "png orientation animated", animation + chunk(b"eXIf", exif(6)) + plain[place:], {}
    for orientation in range(0, 10):
        for order in "<>":
            for kind in (3, 4):
                for prefix in (b"", b"Exif\0\0"):
                    block = exif(orientation, kind, order, prefix)
                    name = f"orientation type {kind}{' prefix' if prefix else ''}"
                    yield f"png {name}", png_with(chunk(b"eXIf", block)), {}
                    yield f"png {name} after", png_with(chunk(b"eXIf", block), after=True), {}
                    yield f"webp {name}", webp_with(block), {}
                    yield f"jpeg {name}", insert_segment(jpeg, 0xe1, b"Exif\0\0" + block), {}
            # Pillow takes a ratio or a float for a number, and bytes not.
            for kind in (1, 2, 5, 6, 7, 8, 9, 10, 11, 12):
                block = exif(orientation, kind, order)
                yield f"png orientation type {kind}", png_with(chunk(b"eXIf", block)), {}
                yield f"webp orientation type {kind}", webp_with(block), {}
                yield f"jpeg orientation type {kind}", insert_segment(jpeg, 0xe1, b"Exif\0\0" + block), {}
        block = exif(orientation)
        for place in (0, 4, 10, 20):
            rest = insert_segment(jpeg, 0xe1, b"Exif\0\0" + block[place:])
            yield "jpeg orientation in two segments", insert_segment(rest, 0xe1, b"Exif\0\0" + block[:place]), {}
        digits = block.hex()
        text = f"\nexif\n{len(block):8}\n" + "\n".join(digits[place:place + 72] for place in range(0, len(digits), 72)) + "\n"
        raw = b"Raw profile type exif\0"
        yield "png orientation raw profile", png_with(chunk(b"zTXt", raw + b"\0" + zlib.compress(text.encode()))), {}
        yield "png orientation raw profile", png_with(chunk(b"tEXt", raw + text.encode()), after=True), {}
        # XMP counts where EXIF states nothing.
        other = exif(3)
        for element in (False, True):
            stated = xmp(orientation, element)
            international = b"XML:com.adobe.xmp\0"
            yield "png orientation xmp", png_with(chunk(b"iTXt", international + b"\0\0\0\0" + stated)), {}
            yield "png orientation xmp", png_with(
                chunk(b"iTXt", international + b"\1\0en\0\0" + zlib.compress(stated)), after=True), {}
            yield "webp orientation xmp", webp_with(stated, b"XMP "), {}
            packet = b"http://ns.adobe.com/xap/1.0/\0" + stated
            with_xmp = insert_segment(jpeg, 0xe1, packet)
            yield "jpeg orientation xmp", with_xmp, {}
            yield "jpeg orientation exif and xmp", insert_segment(with_xmp, 0xe1, b"Exif\0\0" + other), {}
            without = other.replace(struct.pack("<H", 274), struct.pack("<H", 271))
            yield "jpeg orientation xmp beside exif", insert_segment(with_xmp, 0xe1, b"Exif\0\0" + without), {}
            samples = pattern(33, 20, 3)
            yield "tiff orientation xmp", tiff(samples, 2, tags=[(700, 1, list(stated))]), {}
        first = insert_segment(insert_segment(jpeg, 0xe1, b"Exif\0\0" + exif(8)), 0xe1, b"Exif\0\0" + block)
        yield "jpeg orientation twice", first, {}
        # After the frame, before the scan.
        place = jpeg.index(b"\xff\xda")
        segment = b"\xff\xe1" + struct.pack(">H", len(block) + 8) + b"Exif\0\0" + block
        yield "jpeg orientation after the frame", jpeg[:place] + segment + jpeg[place:], {}
        samples = pattern(33, 20, 3)
        for kind in (1, 3, 4, 7):
            yield "tiff orientation", tiff(samples, 2, compression=8, tags=[(274, kind, [orientation])]), {}


def pngs():
    for size in SIZES:
        for color in (0, 2, 3, 4, 6):
            for depth in (1, 2, 4, 8, 16):
                if (depth == 16 and color == 3) or (depth < 8 and color not in (0, 3)):
                    continue
                for interlaced in (False, True):
                    yield f"png {color} {depth}{' interlaced' if interlaced else ''}", png(size, depth, color, interlaced), {}
        for color in (0, 2):
            transparent = struct.pack(">H", 3) * (1 if color == 0 else 3)
            yield "png transparent colour", png(size, 8, color, before=[chunk(b"tRNS", transparent)]), {}
        yield "png transparent palette", png(size, 8, 3, before=[chunk(b"tRNS", bytes([0, 128, 7]))]), {}
    for color in (0, 2, 4, 6):
        for interlaced in (False, True):
            yield "png few bits", png((33, 31), 16, color, interlaced, most=4095), {"note": "few-bits"}
            yield "png many bits", png((33, 31), 16, color, interlaced, most=16383), {}
    for color, interlaced in ((0, False), (2, True), (3, False), (6, True)):
        for size in SIZES:
            data = png(size, 8, color, interlaced)
            # All pixels are there without the checksums behind them and the last chunk.
            for missing in (1, 11, 12, 14, 16, 17, 20):
                yield "png no end", data[:-missing], {}
            for kept in (0, 4, 8):
                yield "png cut short", data[:data.index(b"IDAT") + kept], {"refused": "damaged-picture"}
    for colours in (31, 771):
        data = png((7, 5), 4, 3)
        place = data.index(b"PLTE") - 4
        end = data.index(b"IDAT") - 4
        palette = chunk(b"PLTE", bytes(colours))
        yield "png palette of part of a colour", data[:place] + palette + data[end:], {"refused": "damaged-picture"}
    profile = b"icc\0\0" + zlib.compress(bytes(900_000), 9)
    yield "png large profile", png((7, 5), 8, 2, before=[chunk(b"iCCP", profile)]), {}


def gifs():
    rng = np.random.default_rng(2)
    palette, local = (rng.integers(0, 256, 768, dtype=np.uint8).tobytes() for _ in range(2))
    short = palette[:3 * 16]
    for screen, frame in [((40, 30), (0, 0, 40, 30)), ((40, 30), (5, 7, 20, 11)), ((40, 30), (30, 20, 20, 20)),
                          ((8, 8), (0, 0, 40, 30)), ((40, 30), (50, 50, 3, 4)), ((1, 1), (0, 0, 1, 1))]:
        for transparent in (None, 0, 9):
            for background in (0, 3):
                for interlaced in (False, True):
                    options = {"background": background, "transparent": transparent, "interlaced": interlaced}
                    kind = "gif" if frame[:2] == (0, 0) and frame[2:] == screen else "gif frame on screen"
                    yield kind, gif(screen, frame, palette=palette, **options), {}
                    yield f"{kind} local palette", gif(screen, frame, palette=short, local=local, **options), {}
                    yield f"{kind} only local palette", gif(screen, frame, local=local, **options), {}
                    yield f"{kind} short palette", gif(screen, frame, palette=short, **options), {}
                    yield f"{kind} no palette", gif(screen, frame, **options), {}
    frames = [Image.fromarray(pattern(40, 30, 3, seed)) for seed in range(3)]
    yield "gif animated", saved(frames[0], "GIF", save_all=True, append_images=frames[1:]), {}


def bmps():
    rng = np.random.default_rng(4)

    def no_offset(data):
        return data[:10] + bytes(4) + data[14:]

    for width, height in SIZES:
        for bits in (1, 4, 8):
            samples = pattern(width, height, 1)[..., 0] >> (8 - bits)
            colours = rng.integers(0, 256, 4 << bits, dtype=np.uint8).tobytes()
            rows = bmp_rows(samples, bits)
            yield f"bmp {bits}", bmp(width, height, bits, rows, palette=colours), {}
            yield f"bmp {bits} no offset", no_offset(bmp(width, height, bits, rows, palette=colours)), {}
            place = struct.pack("<I", 54)
            wrong = bmp(width, height, bits, rows, palette=colours)
            yield f"bmp {bits} offset of the palette", wrong[:10] + place + wrong[14:], {}
            yield f"bmp {bits} top down", bmp(width, height, bits, rows, palette=colours, top_down=True), {}
            three = b"".join(colours[place:place + 3] for place in range(0, len(colours), 4))
            core = bmp(width, height, bits, rows, palette=three, core=True)
            yield f"bmp {bits} core", core, {}
            yield f"bmp {bits} core no offset", no_offset(core), {}
            yield f"bmp {bits} core offset of the palette", core[:10] + struct.pack("<I", 26) + core[14:], {}
            few = bmp(width, height, bits, rows, palette=colours[:8])
            yield f"bmp {bits} few colours no offset", no_offset(few), {}
        deep = pattern(width, height, 2)
        rows = bmp_rows(deep, 16)
        yield "bmp 555", bmp(width, height, 16, rows), {}
        for name, masks in [("555", (0x7c00, 0x3e0, 0x1f)), ("565", (0xf800, 0x7e0, 0x1f))]:
            packed = struct.pack("<III", *masks)
            yield f"bmp masks {name}", bmp(width, height, 16, rows, compression=3, masks=packed), {}
        for bits in (24, 32):
            samples = pattern(width, height, bits // 8)
            data = bmp(width, height, bits, bmp_rows(samples, bits))
            yield f"bmp {bits}", data, {}
            yield f"bmp {bits} no offset", no_offset(data), {}
            yield f"bmp {bits} no planes", data[:26] + b"\0\0" + data[28:], {}
        packed = struct.pack("<III", 0xff0000, 0xff00, 0xff)
        rows = bmp_rows(pattern(width, height, 3), 24)
        masked = bmp(width, height, 24, rows, compression=3, masks=packed)
        yield "bmp masks 24", masked, {}
        yield "bmp masks 24 no offset", no_offset(masked), {}
        yield "bmp masks 32 no offset", no_offset(bmp(width, height, 32, bmp_rows(pattern(width, height, 4), 32),
                                                      compression=3, masks=packed)), {}
        yield "bmp masks 32", bmp(width, height, 32, bmp_rows(pattern(width, height, 4), 32), compression=3, masks=packed), {}
    colours = rng.integers(1, 256, 1024, dtype=np.uint8).tobytes()
    # Pillow takes the end of an empty row for nothing, and wants as many pixels as the image has.
    rest = b"\x08\x04\0\0" * 6
    for compression, bits in [(1, 8), (2, 4)]:
        literal = b"\0\3\1\2\3\0" if bits == 8 else b"\0\3\x12\x30"
        for name, runs in {
            "jump": b"\x03\x05\0\2\2\1\x02\x07\0\0\x04\x03\0\0",
            "end of row": b"\x03\x05\0\0\x08\x07\0\0\x02\x09\0\0",
            "literal": literal + b"\x05\x04\0\0" + literal + b"\0\0",
        }.items():
            palette = colours[:4 << bits]
            yield f"bmp runs {bits} {name}", bmp(8, 6, bits, runs + rest + b"\0\1", compression=compression,
                                                palette=palette), {}


def icons():
    rng = np.random.default_rng(6)

    def bitmap(width, height, bits):
        palette = rng.integers(0, 256, 4 << bits, dtype=np.uint8).tobytes() if bits <= 8 else b""
        if bits <= 8:
            samples = pattern(width, height, 1)[..., 0] >> (8 - bits)
        else:
            samples = pattern(width, height, bits // 8)
        mask = bmp_rows(np.zeros((height, width)), 1)
        pixels = bmp_rows(samples, bits)
        data = bmp(width, height, bits, pixels + mask, palette=palette, file=False)
        # The height counts the mask too.
        return data[:8] + struct.pack("<i", 2 * height) + data[12:]

    for width, height in [(16, 16), (31, 33), (48, 48)]:
        for bits in (1, 4, 8, 24, 32):
            yield f"ico {bits}", ico([(width, height, bits, bitmap(width, height, bits))]), {}
        for color, channels in [(2, "RGB"), (3, "P"), (6, "RGBA"), (0, "L")]:
            yield f"ico png {channels}", ico([(width, height, 32, png((width, height), 8, color))]), {}
    several = [(16, 16, 32, bitmap(16, 16, 32)), (48, 48, 8, bitmap(48, 48, 8)), (48, 48, 32, bitmap(48, 48, 32)),
               (32, 32, 32, png((32, 32), 8, 6))]
    yield "ico wrong size", ico([(16, 32, 32, bitmap(16, 16, 32))]), {}
    for turn in range(4):
        yield "ico several", ico(several[turn:] + several[:turn]), {}
    yield "ico of pillow", saved(Image.fromarray(pattern(256, 256, 4)), "ICO"), {}


def tgas():
    for width, height in SIZES:
        for mode, channels in [("L", 1), ("LA", 2), ("RGB", 3), ("RGBA", 4)]:
            samples = pattern(width, height, channels)
            image = Image.fromarray(samples[..., 0] if channels == 1 else samples, mode)
            for compression in (None, "tga_rle"):
                for orientation in (-1, 1):
                    data = saved(image, "TGA", compression=compression, orientation=orientation)
                    yield f"tga {mode}", data, {}
                    if compression is None:
                        yield f"tga {mode} from the right", data[:17] + bytes([data[17] | 0x10]) + data[18:], {}
        palette = Image.fromarray(pattern(width, height, 3)).quantize(100)
        yield "tga palette", saved(palette, "TGA"), {}
        raw = pattern(width, height, 2).tobytes()
        for flags in (0, 0x20, 0x01, 0x21):
            header = struct.pack("<BBBHHBHHHHBB", 0, 0, 2, 0, 0, 0, 0, 0, width, height, 16, flags)
            yield "tga 16 bits", header + raw, {}


        for mode, channels, kind in [("L", 1, 3), ("LA", 2, 3), ("RGB", 3, 2), ("RGBA", 4, 2)]:
            # Bits of attributes that the colour has not, and of interleaved rows.
            for flags in (0, 1, 8, 0x28, 0x48, 0xe0):
                header = struct.pack("<BBBHHBHHHHBB", 0, 0, kind, 0, 0, 0, 0, 0, width, height, 8 * channels, flags)
                yield f"tga {mode} attributes", header + pattern(width, height, channels).tobytes(), {}
        for flags in (8, 0x28):
            header = struct.pack("<BBBHHBHHHHBB", 0, 1, 1, 0, 256, 24, 0, 0, width, height, 8, flags)
            yield "tga palette attributes", header + bytes(range(256)) * 3 + pattern(width, height, 1).tobytes(), {}
        for kind in (3, 11):
            header = struct.pack("<BBBHHBHHHHBB", 0, 1, kind, 0, 256, 24, 0, 0, width, height, 8, 0)
            data = header + bytes(range(256)) * 3 + bytes(2 * width * height)
            yield "tga grey palette", data, {"refused": "unsupported-picture"}
        bits = Image.fromarray(pattern(width, height, 1)[..., 0]).convert("1")
        for orientation in (-1, 1):
            data = saved(bits, "TGA", orientation=orientation, id_section=b"name")
            yield "tga bits", data, {}
            yield "tga bits from the right", data[:17] + bytes([data[17] | 0x10]) + data[18:], {}
        header = struct.pack("<BBBHHBHHHHBB", 3, 0, 3, 0, 0, 0, 0, 0, width, height, 1, 0)
        rows = np.packbits(pattern(width, height, 1)[..., 0] > 99, axis=1).tobytes()
        yield "tga bits behind a text", header + bytes(3) + rows, {}
        yield "tga bits cut short", header + bytes(3) + rows[:-1], {"refused": "damaged-picture"}


def pnms():
    for width, height in SIZES:
        rgb = Image.fromarray(pattern(width, height, 3))
        for name, image in [("rgb", rgb), ("grey", rgb.convert("L")), ("bits", rgb.convert("1"))]:
            yield f"pnm {name}", saved(image, "PPM"), {}
        grey, samples = pattern(width, height, 1), pattern(width, height, 3)
        text = " ".join(map(str, samples.reshape(-1)))
        yield "pnm text", f"P3\n# comment\n{width} {height}\n255\n{text}\n".encode(), {}
        lines = text.replace(" ", " # 7 8 9\n ")
        yield "pnm text comments", f"P3\n{width} # comment\n{height}\n255\n# 1\r{lines}\n".encode(), {}
        for most in (255, 65535):
            levels = " #9#\n\n ".join(map(str, grey.reshape(-1).astype(np.int64) * (most // 255)))
            yield "pnm text comments grey", f"P2\n{width} {height}\n{most}\n{levels}\n#".encode(), {}
        bits = "".join(map(str, grey.reshape(-1) % 2))
        yield "pnm text comments bits", f"P1\n{width} {height}\n#0\n{bits[0]}#1\n{bits[1:]}\n".encode(), {}
        yield "pnm deep grey", b"P5 %d %d 65535\n" % (width, height) + (grey.astype(">u2") * 257).tobytes(), {}
        yield "pnm deep rgb", b"P6 %d %d 65535\n" % (width, height) + (samples.astype(">u2") * 257 + 77).tobytes(), {}
        yield "pnm 12 bits", b"P5 %d %d 4095\n" % (width, height) + (grey.astype(">u2") * 16).tobytes(), {}
        yield "pnm 12 bits rgb", b"P6 %d %d 4095\n" % (width, height) + (samples.astype(">u2") * 16).tobytes(), {}
        yield "pnm few levels", b"P5 %d %d 15\n" % (width, height) + (grey >> 4).tobytes(), {}
        yield "pnm few levels rgb", b"P6 %d %d 99\n" % (width, height) + (samples % 100).tobytes(), {}
        # Halves between two levels.
        for most in (2, 10, 100, 170, 510, 1000, 65534):
            kind = ">u2" if most > 255 else "u1"
            for name, values, start in (("grey", grey, b"P5"), ("rgb", samples, b"P6")):
                data = (values.astype(np.int64) * most // 255).astype(kind).tobytes()
                yield f"pnm halves {name}", start + b" %d %d %d\n" % (width, height, most) + data, {}
            levels = " ".join(map(str, grey.reshape(-1).astype(np.int64) * most // 255))
            yield "pnm halves text", f"P2 {width} {height} {most}\n{levels}\n".encode(), {}


def qois():
    for width, height in SIZES:
        for channels in (3, 4):
            yield "qoi", saved(Image.fromarray(pattern(width, height, channels)), "QOI"), {}


def webps():
    for width, height in SIZES:
        for channels in (3, 4):
            image = Image.fromarray(pattern(width, height, channels))
            name = "webp" if channels == 3 else "webp alpha"
            # A transparent pixel may have any colour.
            yield f"{name} lossless", saved(image, "WEBP", lossless=True, exact=True), {}
            yield f"{name}", saved(image, "WEBP", quality=80, exact=True), {}
            yield f"{name} animated lossy", saved(image, "WEBP", quality=80, exact=True, save_all=True,
                                                  append_images=[image.rotate(180)]), {}
            data = saved(image.convert("RGB"), "WEBP", quality=80)[12:]
            body = struct.pack("<4sIIHBHB", b"VP8X", 10, 0x10, width - 1, 0, height - 1, 0) + data
            yield "webp alpha flag alone", b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body, {}
            yield f"{name} profile", saved(image, "WEBP", lossless=True, exact=True, icc_profile=b"profile"), {}
            # The first frame alone counts, and is not blended with anything.
            yield f"{name} animated", saved(image, "WEBP", lossless=True, exact=True, save_all=True,
                                            append_images=[image.rotate(180)]), {}


    # A frame on a larger canvas.
    animated = saved(Image.fromarray(pattern(20, 10, 4)), "WEBP", lossless=True, exact=True, save_all=True,
                     append_images=[Image.fromarray(pattern(20, 10, 4, 1))])
    place = animated.index(b"ANMF") + 8
    data = bytearray(animated)
    data[24:30] = (39).to_bytes(3, "little") + (29).to_bytes(3, "little")
    data[place:place + 6] = (3).to_bytes(3, "little") + (5).to_bytes(3, "little")
    yield "webp frame on canvas", bytes(data), {}


def tiffs():
    shades = lambda count: np.random.default_rng(8).integers(0, 65536, 3 * count).tolist()
    for order in "<>":
        for width, height in [(1, 1), (33, 31), (70, 50)]:
            grey, rgb, four = (pattern(width, height, channels) for channels in (1, 3, 4))
            two, five, six = (pattern(width, height, channels) for channels in (2, 5, 6))
            deep = lambda samples: samples.astype(np.uint16) * 257
            common = {"order": order}
            layouts = [{}, {"rows": 7}, {"tile": (16, 16)}]
            # Pillow does not read BigTIFF with the other order.
            if order == "<":
                layouts += [{"tile": (16, 16), "big": True}, {"rows": 9, "big": True}]
            for layout in layouts:
                for compression in (1, 5, 8, 32946, 32773):
                    options = common | layout | {"compression": compression}
                    name = f"tiff {compression}{' tiles' if 'tile' in layout else ''}{' big' if 'big' in layout else ''}"
                    yield f"{name} grey", tiff(grey, 1, **options), {}
                    yield f"{name} rgb", tiff(rgb, 2, **options), {}
                    if layout in ({}, {"tile": (16, 16)}):
                        yield f"{name} palette", tiff(grey, 3, palette=shades(256), **options), {}
                        yield f"{name} grey alpha", tiff(two, 1, extra=(2,), **options), {}
                        yield f"{name} ink", tiff(four, 5, **options), {}
                        yield f"{name} planes", tiff(rgb, 2, planar=2, **options), {}
                        for extra in ((0,), (1,), (2,)):
                            yield f"{name} rgb + {extra}", tiff(four, 2, extra=extra, **options), {}
                        yield f"{name} rgb + 2", tiff(five, 2, extra=(0, 0), **options), {}
                        yield f"{name} rgb + 3", tiff(six, 2, extra=(2, 0, 0), **options), {}
                    if compression in (5, 8):
                        for samples, photometric, extra in [(grey, 1, ()), (rgb, 2, ()), (four, 2, (0,)), (five, 2, (0, 0)),
                                                            (deep(rgb), 2, ()), (deep(grey), 1, ())]:
                            bits = samples.dtype.itemsize * 8
                            yield f"{name} predictor {bits} bits", tiff(samples, photometric, predictor=2, extra=extra,
                                                                        **options), {}
                        yield f"{name} predictor planes", tiff(rgb, 2, planar=2, predictor=2, **options), {}
            for bits in (1, 2, 4, 8):
                for photometric in (0, 1):
                    for fill in (1, 2):
                        for compression in (1, 5, 8):
                            if (bits, photometric, fill, compression) == (8, 0, 2, 1):
                                # Pillow has no name for it.
                                continue
                            yield f"tiff grey {bits} bits", tiff(grey >> (8 - bits), photometric, bits=bits, fill=fill,
                                                                 compression=compression, **common), {}
                yield f"tiff palette {bits} bits", tiff(grey >> (8 - bits), 3, bits=bits, palette=shades(1 << bits), **common), {}
            yield "tiff lzw without end", tiff(rgb, 2, compression=5, tile=(16, 16), end=False, **common), {}
            yield "tiff fill order rgb", tiff(rgb, 2, fill=2, **common), {}
            yield "tiff fill order rgb lzw", tiff(rgb, 2, fill=2, compression=5, **common), {}
            yield "tiff fill order rgb deflate", tiff(rgb, 2, fill=2, compression=8, **common), {}
            for compression in (8, 1):
                options = common | {"compression": compression}
                yield "tiff 16 bits", tiff(deep(rgb), 2, **options), {}
                yield "tiff 16 bits + alpha", tiff(deep(four), 2, extra=(2,), **options), {}
                yield "tiff 16 bits multiplied", tiff(deep(four), 2, extra=(1,), **options), {}
                yield "tiff 16 bits grey", tiff(deep(grey), 1, **options), {}
                yield "tiff 16 bits ink", tiff(deep(four), 5, **options), {}
                # Pillow misreads these: 16 bits in planes without compression, others than 8 and 16 bits in the other
                # order with compression.
                if compression == 8:
                    yield "tiff 16 bits planes", tiff(deep(rgb), 2, planar=2, **options), {}
                    if order == ">":
                        continue
                floats = grey.astype(np.float32) * 1.37 - 20
                yield "tiff floats", tiff(floats, 1, kind=3, **options), {}
                yield "tiff signed", tiff(grey.astype(np.int16) * 3 - 100, 1, kind=2, **options), {}
                yield "tiff signed 32", tiff(grey.astype(np.int32) * 3 - 100, 1, kind=2, **options), {}
            if order == "<":
                yield "tiff floats predictor", tiff(grey.astype(np.float32) * 1.37, 1, kind=3, compression=8, predictor=3), {}
            if height > 1:
                yield "tiff unit floats", tiff(grey.astype(np.float32) / 255, 1, kind=3, **common), {"note": "unit-floats"}
                yield "tiff few bits", tiff(grey.astype(np.uint16) * 16, 1, **common), {"note": "few-bits"}
            if order == "<":
                yield "tiff 12 bits", tiff(grey.astype(np.uint16) * 16, 1, bits=12, **common), {}
    for width, height in [(1, 1), (33, 31), (70, 50), (64, 64), (1000, 37)]:
        rgb = Image.fromarray(pattern(width, height, 3))
        bits = rgb.convert("1")
        for compression in ("tiff_ccitt", "group3", "group4"):
            yield f"tiff {compression}", saved(bits, "TIFF", compression=compression), {}
            inverted = {262: 0}
            yield f"tiff {compression} inverted", saved(bits, "TIFF", compression=compression, tiffinfo=inverted), {}
        for options in range(8):
            if options & 2:
                continue
            yield "tiff group3 options", saved(bits, "TIFF", compression="group3", tiffinfo={292: options}), {}
        text = Image.fromarray(((pattern(width, height, 1)[..., 0] // 40) % 2 * 255).astype(np.uint8)).convert("1")
        for compression in ("tiff_ccitt", "group3", "group4"):
            yield f"tiff {compression} runs", saved(text, "TIFF", compression=compression), {}
        for mode in ("L", "RGB", "CMYK", "YCbCr"):
            yield f"tiff jpeg {mode}", saved(rgb.convert(mode), "TIFF", compression="jpeg"), {}
        for mode in ("L", "RGB", "RGBA", "CMYK", "LA", "I;16"):
            image = rgb.convert("L").convert(mode) if mode == "I;16" else rgb.convert(mode)
            for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"):
                yield f"tiff of pillow {mode}", saved(image, "TIFF", compression=compression, big_tiff=width == 33), {
                    "note": "few-bits"} if mode == "I;16" else {}

    def jpeg_piece(part):
        # Pieces may be larger than what they show of the image, but not smaller.
        return saved(Image.fromarray(part), "JPEG", subsampling=2, quality=90)

    rgb = pattern(70, 50, 3)
    for layout in ({"tile": (32, 32)}, {"rows": 16}):
        if "rows" in layout:
            continue
        yield "tiff jpeg tiles", tiff(rgb, 6, compression=7, encoder=jpeg_piece,
                                      tags=[(530, 3, [2, 2])], **layout), {}
    grey = pattern(33, 31, 1)
    yield "tiff extra planes", tiff(pattern(33, 31, 4), 2, planar=2, extra=(0,), compression=8), {}
    yield "tiff extra planes grey", tiff(pattern(33, 31, 3), 1, planar=2, extra=(0, 0), compression=8), {}
    strips = tiff(pattern(70, 50, 3), 2, compression=5, tile=(16, 16))
    for tile, strip in ((324, 273), (325, 279)):
        strips = strips.replace(struct.pack("<HH", tile, 4), struct.pack("<HH", strip, 4))
    yield "tiff tiles in tags of strips", strips, {}
    refused = {"refused": "unsupported-picture"}
    for name, data in {
        "lab": tiff(pattern(33, 31, 3), 8),
        "zstd": tiff(grey, 1, compression=50000, encoder=lambda part: b"\x28\xb5\x2f\xfd"),
        "lzma": tiff(grey, 1, compression=34925, encoder=lambda part: b"\xfd7zXZ"),
        "old jpeg": tiff(grey, 1, compression=6, encoder=lambda part: b"\xff\xd8"),
        "webp": tiff(grey, 1, compression=50001, encoder=lambda part: b"RIFF"),
        "ycbcr": tiff(pattern(33, 31, 3), 6),
        "doubles": tiff(grey.astype(np.float64), 1, kind=3),
        "seven samples": tiff(pattern(33, 31, 7), 2, extra=(0, 0, 0, 0)),
        "old lzw": tiff(grey, 1, compression=5, encoder=lambda part: b"\0\1\2\3"),
        "predictor 9": tiff(grey, 1, compression=5, predictor=9),
    }.items():
        yield f"tiff {name}", data, refused
    yield "tiff dng", tiff(pattern(33, 31, 3), 2, tags=[(50706, 1, [1, 4, 0, 0])]), {"refused": "unsupported-format"}
    yield "tiff thumbnail", tiff(pattern(33, 31, 3), 2, tags=[(254, 4, [1]), (330, 4, [8])]), {"refused": "unsupported-format"}
    yield "tiff cut", tiff(pattern(33, 31, 3), 2, compression=8)[:900], {"refused": "damaged-picture"}


def named():
    """The first bytes of formats that are recognised, but not decoded."""
    heads = {
        "heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "avif": b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf",
        "jpeg 2000": b"\0\0\0\x0cjP  \r\n\x87\n", "jpeg 2000 codestream": b"\xff\x4f\xff\x51\0\x29",
        "psd": b"8BPS\0\1", "dds": b"DDS \x7c\0\0\0", "pcx": b"\x0a\x05\x01\x08", "exr": b"\x76\x2f\x31\x01\2\0\0\0",
        "cr2": b"II*\0\x10\0\0\0CR\2\0", "cr3": b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "raf": b"FUJIFILMCCD-RAW 0201",
        "orf": b"IIRO\x08\0\0\0", "rw2": b"IIU\0\x18\0\0\0", "x3f": b"FOVb\2\0\2\0", "mrw": b"\0MRM\0\0\0\0",
        "xcf": b"gimp xcf file\0", "icns": b"icns\0\0\1\0", "cursor": b"\0\0\2\0\1\0\x20\x20\0\0", "hdr": b"#?RADIANCE\n",
        "jpeg-ls": b"\xff\xd8\xff\xf7",
        "jpeg xr": b"II\xbc\x01\x08\0\0\0", "fits": b"SIMPLE  =                    T", "sgi": b"\x01\xda\x01\x01\0\3",
    }
    for name, head in heads.items():
        yield f"named {name}", head + bytes(200), {"refused": "unsupported-format"}


def cases():
    for group in (jpegs, orientations, pngs, gifs, bmps, icons, tgas, pnms, qois, webps, tiffs, named):
        yield from group()


def main(out):
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    with open(out / "manifest.jsonl", "w", encoding="utf-8") as manifest:
        for index, (kind, data, options) in enumerate(cases()):
            file = f"{index}-{kind.replace(' ', '-').replace(':', '')}"
            (out / file).write_bytes(data)
            case = {"file": file, "kind": kind, "expected": None, "width": None, "height": None, "note": options.get("note"),
                    "refused": options.get("refused")}
            if case["refused"] is None:
                try:
                    pixels = reference(data)
                except Exception as error:
                    sys.exit(f"Pillow does not read {file} ({kind}): {error!r}")
                (out / f"{file}.rgb").write_bytes(pixels.tobytes())
                case |= {"expected": f"{file}.rgb", "width": pixels.shape[1], "height": pixels.shape[0]}
            manifest.write(json.dumps(case) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
