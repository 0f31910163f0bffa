"""Write the pictures of the page into the directory named: `make_pictures.py DIRECTORY`."""

import hashlib
import struct
import sys
from pathlib import Path

NUMBER, WIDTH, HEIGHT = 30, 104, 106
"""33 kB each. A row of a bitmap is a multiple of 4 bytes, and with this width it is so by itself."""


def bitmap(seed: int) -> bytes:
    """Return a picture of what looks like random points, always the same for a SEED: two headers and the points."""
    points = hashlib.shake_128(bytes([seed])).digest(WIDTH * HEIGHT * 3)
    file = struct.pack("<2sIHHI", b"BM", 54 + len(points), 0, 0, 54)
    return file + struct.pack("<IiiHHIIiiII", 40, WIDTH, HEIGHT, 1, 24, 0, len(points), 0, 0, 0, 0) + points


if __name__ == "__main__":
    for number in range(1, NUMBER + 1):
        (Path(sys.argv[1]) / f"{number:02}.bmp").write_bytes(bitmap(number))
