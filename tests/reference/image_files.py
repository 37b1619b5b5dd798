"""Writers of image files that Pillow does not write, and the pixels that Pillow reads.

Needs: pillow, numpy.
"""

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageOps


def reference(data):
    """The RGB that Pillow makes of a file, upright, but with the upper bits of 16 bits of grey, which Pillow clips."""
    with Image.open(io.BytesIO(data)) as image:
        few = image.format == "TIFF" and image.tag_v2.get(258) == (12,)
        deep = image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM")
        image = ImageOps.exif_transpose(image)
        if deep:
            grey = (np.asarray(image).astype(np.int64) >> (4 if few else 8)).astype(np.uint8)
            return np.repeat(grey[..., None], 3, axis=-1)
        return np.asarray(image.convert("RGB"))


def pattern(width, height, channels, seed=0):
    """Smooth planes with noise."""
    rng = np.random.default_rng(seed + width * 7 + height)
    x, y = np.arange(width), np.arange(height)[:, None]
    planes = [(x * (3 + channel) + y * (7 - channel) + 60 * channel + 40) % 256 for channel in range(channels)]
    noise = rng.integers(0, 9, (height, width, channels))
    return (np.stack(planes, axis=-1) + noise).clip(0, 255).astype(np.uint8)


def exif(orientation, kind=3, order="<", prefix=b""):
    """An EXIF block with an orientation of any type of TIFF."""
    mark = b"II" if order == "<" else b"MM"
    values = {5: "II", 10: "ii", 12: "d"}
    if kind in values:
        # Behind the directory. Ratios are not in lowest terms.
        numbers = [orientation] if kind == 12 else [2 * orientation, 2]
        value, behind = struct.pack(order + "I", 26), struct.pack(order + values[kind], *numbers)
    else:
        inline = {1: "B", 2: "B", 3: "H", 4: "I", 6: "b", 7: "B", 8: "h", 9: "i", 11: "f"}
        value, behind = struct.pack(order + inline[kind], orientation).ljust(4, b"\0"), b""
    return prefix + mark + struct.pack(order + "HIHHHI", 42, 8, 1, 274, kind, 1) + value + bytes(4) + behind


def exif_of(*entries, count=None):
    """An EXIF block of entries, each (tag, type, count, value of 4 bytes); the directory may state another number of them."""
    body = b"".join(struct.pack("<HHI", *entry[:3]) + entry[3] for entry in entries)
    return struct.pack("<2sHIH", b"II", 42, 8, len(entries) if count is None else count) + body + bytes(4)


def xmp(orientation, element=False):
    stated = (f"<rdf:Description><tiff:Orientation>{orientation}</tiff:Orientation></rdf:Description>" if element
              else f'<rdf:Description tiff:Orientation="{orientation}"/>')
    return ('<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
            f'xmlns:tiff="http://ns.adobe.com/tiff/1.0/">{stated}</rdf:RDF></x:xmpmeta>').encode()


# PNG

def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def png(size, depth, color, interlaced=False, before=(), after=(), most=None):
    """A PNG of any kind; `before` and `after` are chunks around the pixels, `most` is the largest 16-bit value."""
    image = pattern(*size, PNG_CHANNELS[color])
    return png_of(image, depth, color, interlaced, before, after, most)


def png_of(image, depth, color, interlaced=False, before=(), after=(), most=None):
    """The PNG of an image of 8 bits, with the arguments of `png`."""
    height, width = image.shape[:2]
    image = image.astype(np.uint16)
    if depth == 16:
        image = image * 257 if most is None else (image.astype(np.int64) * most // 255).astype(np.uint16)
    elif depth < 8:
        image = image >> (8 - depth)
    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    raw = bytearray()
    for left, top, right, down in passes:
        part = image[top::down, left::right]
        if part.size == 0:
            continue
        for row in part:
            if depth == 16:
                data = row.astype(">u2").tobytes()
            elif depth == 8:
                data = row.astype(np.uint8).tobytes()
            else:
                bits = np.unpackbits(row.astype(np.uint8).reshape(-1, 1), axis=1)[:, -depth:].reshape(-1)
                data = np.packbits(bits).tobytes()
            raw += b"\0" + data
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, int(interlaced))
    colours = np.random.default_rng(3).integers(0, 256, 3 << min(depth, 8), dtype=np.uint8)
    palette = [chunk(b"PLTE", colours.tobytes())] if color == 3 else []
    return b"".join([b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header), *palette, *before,
                     chunk(b"IDAT", zlib.compress(bytes(raw), 6)), *after, chunk(b"IEND", b"")])


# TIFF

def lzw(data, end=True):
    """TIFF's LZW: codes from the highest bit on, which become longer one code early."""
    bits, codes = [], {}

    def reset():
        codes.clear()
        codes.update({bytes([value]): value for value in range(256)})

    def emit(code, width):
        bits.append(format(code, f"0{width}b"))

    reset()
    emit(256, 9)
    following, width, current = 258, 9, b""
    for value in data:
        value = bytes([value])
        if current + value in codes:
            current += value
            continue
        emit(codes[current], width)
        codes[current + value] = following
        following += 1
        if following in (512, 1024, 2048):
            width += 1
        if following == 4095:
            emit(256, width)
            reset()
            following, width = 258, 9
        current = value
    if current:
        emit(codes[current], width)
        following += 1
        if following in (512, 1024, 2048):
            width += 1
    if end:
        emit(257, width)
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big") if text else b""


def pack_bits(data):
    out = bytearray()
    for start in range(0, len(data), 100):
        part = data[start:start + 100]
        if len(set(part)) == 1 and len(part) > 1:
            out += bytes([257 - len(part), part[0]])
        else:
            out += bytes([len(part) - 1]) + part
    return bytes(out)


def tiff(samples, photometric, *, order="<", big=False, tile=None, rows=None, planar=1, compression=1, predictor=1,
         extra=(), kind=1, fill=1, bits=None, palette=None, tags=(), end=True, tables=None, encoder=None):
    """A TIFF of `samples`, an array of height x width x samples of the type of the file.

    `bits` below 8 are packed. `end` decides whether LZW has its last code. `encoder` compresses a piece itself.
    """
    height, width, count = samples.shape
    bits = bits or samples.dtype.itemsize * 8
    samples = samples.astype(samples.dtype.newbyteorder(order)) if samples.dtype.itemsize > 1 else samples
    planes = [samples] if planar == 1 else [samples[..., index:index + 1] for index in range(count)]
    pieces = []

    def serialized(part):
        if predictor == 2:
            part = part.copy()
            part[:, 1:] -= part[:, :-1].copy()
        if predictor == 3:
            size = part.dtype.itemsize
            raw = part.astype(part.dtype.newbyteorder(">")).tobytes()
            lines = np.frombuffer(raw, np.uint8).reshape(part.shape[0], -1, size)
            lines = lines.transpose(0, 2, 1).reshape(part.shape[0], -1).copy()
            stride = part.shape[2]
            lines[:, stride:] -= lines[:, :-stride].copy()
            return lines.tobytes()
        if bits in (1, 2, 4):
            lines = []
            for row in part.reshape(part.shape[0], -1):
                unpacked = np.unpackbits(row.reshape(-1, 1), axis=1)[:, -bits:].reshape(-1)
                lines.append(np.packbits(unpacked).tobytes())
            return b"".join(lines)
        if bits == 12:
            lines = []
            for row in part.reshape(part.shape[0], -1):
                text = "".join(format(int(value), "012b") for value in row)
                text += "0" * (-len(text) % 8)
                lines.append(int(text, 2).to_bytes(len(text) // 8, "big"))
            return b"".join(lines)
        return part.tobytes()

    def compressed(part):
        if encoder:
            return encoder(part)
        data = serialized(part)
        data = {1: bytes, 5: lambda raw: lzw(raw, end), 8: zlib.compress, 32946: zlib.compress,
                32773: pack_bits}[compression](data)
        if fill == 2:
            data = bytes(int(format(value, "08b")[::-1], 2) for value in data)
        return data

    rows = rows or height
    for plane in planes:
        if tile is None:
            pieces += [compressed(plane[top:top + rows]) for top in range(0, height, rows)]
            continue
        for top in range(0, height, tile[1]):
            for left in range(0, width, tile[0]):
                piece = np.zeros((tile[1], tile[0], plane.shape[2]), plane.dtype)
                part = plane[top:top + tile[1], left:left + tile[0]]
                piece[:part.shape[0], :part.shape[1]] = part
                pieces.append(compressed(piece))
    mark = b"II" if order == "<" else b"MM"
    head = mark + (struct.pack(order + "HHHQ", 43, 8, 0, 0) if big else struct.pack(order + "HI", 42, 0))
    data, offsets = bytearray(head), []
    for piece in pieces:
        offsets.append(len(data))
        data += piece
        data += b"\0" * (len(data) % 2)
    counts = [len(piece) for piece in pieces]
    entries = [(256, 4, [width]), (257, 4, [height]), (258, 3, [bits] * count), (259, 3, [compression]),
               (262, 3, [photometric]), (277, 3, [count]), (284, 3, [planar]), (339, 3, [kind] * count)]
    if tile is None:
        entries += [(273, 4, offsets), (278, 4, [rows]), (279, 4, counts)]
    else:
        entries += [(322, 4, [tile[0]]), (323, 4, [tile[1]]), (324, 4, offsets), (325, 4, counts)]
    if predictor != 1:
        entries.append((317, 3, [predictor]))
    if fill != 1:
        entries.append((266, 3, [fill]))
    if extra:
        entries.append((338, 3, list(extra)))
    if palette is not None:
        entries.append((320, 3, list(palette)))
    if tables:
        entries.append((347, 7, list(tables)))
    entries += tags
    written = []
    fits = 8 if big else 4
    for tag, type_, values in sorted(entries):
        letter = {1: "B", 3: "H", 4: "I", 7: "B"}[type_]
        payload = struct.pack(order + f"{len(values)}{letter}", *values)
        if len(payload) > fits:
            place = len(data)
            data += payload + b"\0" * (len(payload) % 2)
            payload = struct.pack(order + ("Q" if big else "I"), place)
        written.append(struct.pack(order + ("HHQ" if big else "HHI"), tag, type_, len(values)) + payload.ljust(fits, b"\0"))
    place = len(data)
    if big:
        data[8:16] = struct.pack(order + "Q", place)
        return bytes(data + struct.pack(order + "Q", len(written)) + b"".join(written) + bytes(8))
    data[4:8] = struct.pack(order + "I", place)
    return bytes(data + struct.pack(order + "H", len(written)) + b"".join(written) + bytes(4))


# GIF

def gif_lzw(indices, bits):
    """Codes that never grow: the table is cleared in time."""
    clear, width = 1 << bits, bits + 1
    codes, since = [clear], 0
    for index in indices:
        if since == (1 << bits) - 2:
            codes.append(clear)
            since = 0
        codes.append(int(index))
        since += 1
    codes.append(clear + 1)
    value = place = 0
    for code in codes:
        value |= code << place
        place += width
    data = value.to_bytes((place + 7) // 8, "little")
    blocks = [data[start:start + 255] for start in range(0, len(data), 255)]
    return bytes([bits]) + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"


def gif(screen, frame, *, palette=None, local=None, background=0, transparent=None, interlaced=False, bits=8):
    """A GIF with a screen (width, height) and a frame (left, top, width, height)."""
    left, top, width, height = frame
    indices = pattern(width, height, 1)[..., 0] & ((1 << bits) - 1)
    if interlaced:
        order = [y for start, step in [(0, 8), (4, 8), (2, 4), (1, 2)] for y in range(start, height, step)]
        indices = indices[order]
    size = lambda colours: (len(colours) // 3 - 1).bit_length() - 1
    data = b"GIF89a" + struct.pack("<HH", *screen)
    data += bytes([0x80 | size(palette) if palette else 0, background, 0]) + (palette or b"")
    if transparent is not None:
        data += b"!\xf9\x04\x01\0\0" + bytes([transparent]) + b"\0"
    flags = (0x80 | size(local) if local else 0) | (0x40 if interlaced else 0)
    data += b"," + struct.pack("<HHHHB", left, top, width, height, flags) + (local or b"")
    return data + gif_lzw(indices.reshape(-1), bits) + b";"


# BMP

def bmp(width, height, bits, pixels, *, compression=0, palette=b"", masks=b"", file=True, core=False, top_down=False):
    """A bitmap of rows as they are in the file."""
    if core:
        header = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        header = struct.pack("<IiiHHIIiiII", 40, width, -height if top_down else height, 1, bits, compression,
                             len(pixels), 2835, 2835, len(palette) // 4, 0)
    body = header + masks + palette
    if not file:
        return body + pixels
    return b"BM" + struct.pack("<IHHI", 14 + len(body) + len(pixels), 0, 0, 14 + len(body)) + body + pixels


def bmp_rows(samples, bits):
    """Rows from the bottom, padded to four bytes."""
    rows = []
    for row in samples[::-1]:
        if bits < 8:
            unpacked = np.unpackbits(row.astype(np.uint8).reshape(-1, 1), axis=1)[:, -bits:].reshape(-1)
            data = np.packbits(unpacked).tobytes()
        else:
            data = row.tobytes()
        rows.append(data + b"\0" * (-len(data) % 4))
    return b"".join(rows)


# ICO

def ico(images):
    """An icon of (width, height, bits, data)."""
    data, body = b"\0\0\1\0" + struct.pack("<H", len(images)), b""
    offset = 6 + 16 * len(images)
    for width, height, bits, image in images:
        data += struct.pack("<BBBBHHII", width % 256, height % 256, 0, 0, 1, bits, len(image), offset + len(body))
        body += image
    return data + body


# JPEG

def segments(data):
    """The place and kind of each segment before the first scan, that of the scan included."""
    place = 2
    while True:
        kind, length = data[place + 1], struct.unpack_from(">H", data, place + 2)[0]
        yield place, kind
        if kind == 0xda:
            return
        place += 2 + length


def insert_segment(data, kind, content):
    return data[:2] + bytes([0xff, kind]) + struct.pack(">H", len(content) + 2) + content + data[2:]


def same_ids(data, value=1):
    """The file with components that all have the same id."""
    data = bytearray(data)
    for place, kind in segments(bytes(data)):
        if kind in (0xc0, 0xc1, 0xc2):
            for index in range(data[place + 9]):
                data[place + 10 + 3 * index] = value
        if kind == 0xda:
            for index in range(data[place + 4]):
                data[place + 5 + 2 * index] = value
    return bytes(data)


def of_planes(width, height, factors):
    """A JPEG of a scan for each component, with these (horizontal, vertical) sampling factors."""
    most = [max(factor[side] for factor in factors) for side in (0, 1)]
    head, scans, frame = b"", [], b""
    for index, (across, down) in enumerate(factors):
        size = -(-width * across // most[0]), -(-height * down // most[1])
        out = io.BytesIO()
        Image.fromarray(pattern(*size, 3)[..., index]).save(out, "JPEG", quality=80)
        data = out.getvalue()
        places = {kind: place for place, kind in segments(data)}
        # The tables are the same for all.
        head = data[:places[0xc0]], data[places[0xc0] + 13:places[0xda]]
        frame += bytes([index + 1, across << 4 | down, 0])
        scan = bytearray(data[places[0xda]:-2])
        scan[5] = index + 1
        scans.append(bytes(scan))
    frame = struct.pack(">HHBHHB", 0xffc0, 8 + len(frame), 8, height, width, len(factors)) + frame
    return head[0] + frame + head[1] + b"".join(scans) + b"\xff\xd9"


def without_last_scans(data, count):
    """A progressive JPEG of which only the first `count` scans remain, and the end."""
    places, place = [], 2
    while place < len(data) - 1:
        if data[place] == 0xff and data[place + 1] == 0xda:
            places.append(place)
        place += 1
    # The tables between two scans go with the later one.
    place = places[count - 1] + 2
    while not (data[place] == 0xff and data[place + 1] not in (0, 0xff) and not 0xd0 <= data[place + 1] <= 0xd7):
        place += 1
    return data[:place] + b"\xff\xd9"


def with_later_height(data):
    """A JPEG whose height is 0 in the frame, and stated after the scan (DNL)."""
    data = bytearray(data)
    for place, kind in segments(bytes(data)):
        if kind in (0xc0, 0xc1, 0xc2):
            height = data[place + 5:place + 7]
            data[place + 5:place + 7] = b"\0\0"
    return bytes(data[:-2]) + b"\xff\xdc\0\4" + bytes(height) + b"\xff\xd9"
