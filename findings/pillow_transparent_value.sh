#!/usr/bin/env bash
# Guess: a PNG may name one value as transparent (tRNS), and Pillow's convert("RGBA") makes pixels of
# that value transparent, whatever the depth of the picture.
# Seen: at 8 bits it does. At 1, 2 and 4 bits, and for 16-bit colours, pixels are brought to 8 bits and
# the value is not: the pixels stay opaque, and no error or warning tells. (13.0.0 does it right at 1
# bit, and as here at the others.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pillow==12.0.0
"$folder/venv/bin/python" - <<'PYTHON'
import io
import struct
import zlib

import PIL
from PIL import Image


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(bits, colour_type, row, transparent):
    """One pixel, and the value that is transparent."""
    head = struct.pack(">IIBBBBB", 1, 1, bits, colour_type, 0, 0, 0)
    parts = [chunk(b"IHDR", head), chunk(b"tRNS", transparent)]
    parts += [chunk(b"IDAT", zlib.compress(b"\0" + row)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


# The one pixel has the transparent value: 1, 3, 15 and 200 of grey, and colours.
cases = {
    "grey, 1 bit": png(1, 0, b"\x80", struct.pack(">H", 1)),
    "grey, 2 bits": png(2, 0, b"\xc0", struct.pack(">H", 3)),
    "grey, 4 bits": png(4, 0, b"\xf0", struct.pack(">H", 15)),
    "grey, 8 bits": png(8, 0, b"\xc8", struct.pack(">H", 200)),
    "colours, 8 bits": png(8, 2, b"\xc8\x0a\x14", struct.pack(">HHH", 200, 10, 20)),
    "colours, 16 bits": png(
        16, 2, b"\x12\x34\xab\xcd\xff\xff", struct.pack(">HHH", 0x1234, 0xABCD, 0xFFFF)
    ),
}
print("Pillow", PIL.__version__)
alphas = {}
for name, data in cases.items():
    pixel = Image.open(io.BytesIO(data)).convert("RGBA").getpixel((0, 0))
    alphas[name] = pixel[3]
    print(f"{name}: {pixel}, {'transparent' if pixel[3] == 0 else 'OPAQUE'}")
seen = [name for name, alpha in alphas.items() if alpha]
raise SystemExit(seen != ["grey, 1 bit", "grey, 2 bits", "grey, 4 bits", "colours, 16 bits"])
PYTHON
