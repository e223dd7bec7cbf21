"""Which image files are decoded, and which are refused because their pixels would be a guess."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from pathorob_checks.cohorts.images import MOST_PIXELS, decode
from pathorob_checks.errors import CohortError

COLORS = np.random.default_rng(0).integers(0, 256, (24, 24, 4), dtype=np.uint8)
DEEP = COLORS.astype(np.uint16) * 16  # 12 bits of 16, as cameras write them
RGB = Image.fromarray(COLORS[..., :3])


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def png(values: npt.NDArray[np.uint16], color_type: int) -> bytes:
    """A PNG file of 16 bits per channel."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    height, width = values.shape[:2]
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in values)
    header = struct.pack(">IIBBBBB", width, height, 16, color_type, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff(
    values: npt.NDArray[Any], *, order: str = "<", photometric: int = 2, kind: int = 1, planes: int = 1
) -> bytes:
    """A TIFF file without compression; `kind` is its sample format."""
    height, width, channels = values.shape
    data = values if planes == 1 else values.transpose(2, 0, 1)
    data_bytes = data.astype(values.dtype.newbyteorder(order)).tobytes()  # type: ignore[call-overload]
    tags: list[tuple[int, int, list[int]]] = [
        (256, 3, [width]),
        (257, 3, [height]),
        (258, 3, [8 * values.itemsize] * channels),
        (259, 3, [1]),
        (262, 3, [photometric]),
        (273, 4, [0]),
        (277, 3, [channels]),
        (278, 3, [height]),
        (279, 4, [len(data_bytes)]),
        (284, 3, [planes]),
        *([(338, 3, [2])] if channels == 4 and photometric == 2 else []),
        (339, 3, [kind] * channels),
    ]
    start = 8 + 2 + 12 * len(tags) + 4
    tail = b""
    entries = []
    body = start + sum(2 * len(numbers) for _, _, numbers in tags if len(numbers) > 2)
    for tag, form, numbers in tags:
        letter = {3: "H", 4: "I"}[form]
        given = [body] if tag == 273 else numbers
        packed = struct.pack(order + letter * len(given), *given)
        if len(packed) > 4:
            packed, tail = struct.pack(order + "I", start + len(tail)), tail + packed
        entries.append(struct.pack(order + "HHI", tag, form, len(numbers)) + packed.ljust(4, b"\0"))
    mark = b"II" if order == "<" else b"MM"
    head = struct.pack(order + "2sHIH", mark, 42, 8, len(tags))
    return head + b"".join(entries) + struct.pack(order + "I", 0) + tail + data_bytes


ACCEPTED = {
    "PNG": encoded(RGB, "PNG"),
    "PNG with transparency": encoded(RGB.convert("RGBA"), "PNG"),
    "gray PNG with transparency": encoded(RGB.convert("LA"), "PNG"),
    "PNG with a palette": encoded(RGB.quantize(16), "PNG"),
    "black and white PNG": encoded(RGB.convert("1"), "PNG"),
    "JPEG": encoded(RGB, "JPEG"),
    "JPEG in CMYK": encoded(RGB.convert("CMYK"), "JPEG"),
    "TIFF": encoded(RGB, "TIFF"),
    "TIFF of 8 bits with all tags": tiff(COLORS[..., :3]),
    "TIFF with LZW": encoded(RGB, "TIFF", compression="tiff_lzw"),
    "TIFF with JPEG": encoded(RGB, "TIFF", compression="jpeg"),
    "BMP": encoded(RGB, "BMP"),
    "WebP": encoded(RGB, "WEBP", lossless=True),
}
TOO_DEEP = {
    "gray PNG": png(DEEP[..., 0], 0),
    "RGB PNG": png(DEEP[..., :3], 2),
    "gray PNG with transparency": png(DEEP[..., :2], 4),
    "RGB PNG with transparency": png(DEEP, 6),
    "gray TIFF": encoded(Image.fromarray(DEEP[..., 0]), "TIFF"),
    "RGB TIFF": tiff(DEEP[..., :3]),
    "RGB TIFF, big-endian": tiff(DEEP[..., :3], order=">"),
    "RGB TIFF, plane by plane": tiff(DEEP[..., :3], planes=2),
    "RGB TIFF with transparency": tiff(DEEP),
    "CMYK TIFF": tiff(DEEP, photometric=5),
    "gray TIFF, compressed": encoded(Image.fromarray(DEEP[..., 0]), "TIFF", compression="tiff_lzw"),
    "TIFF of 32 bits": encoded(Image.fromarray(COLORS[..., 0].astype(np.int32)), "TIFF"),
    "TIFF of real numbers": encoded(Image.fromarray(COLORS[..., 0].astype(np.float32)), "TIFF"),
    "TIFF of signed numbers": tiff(COLORS[..., :1], photometric=1, kind=2),
    "TIFF in CIELAB": encoded(RGB.convert("LAB"), "TIFF"),
}
OTHER_FORMATS = {
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n",
    **{kind: encoded(RGB, kind) for kind in ("GIF", "PPM", "JPEG2000", "ICO", "TGA", "PCX", "EPS", "PDF")},
    "deep PPM": b"P6 2 2 65535\n" + DEEP[:2, :2, :3].astype(">u2").tobytes(),
    "text": b"this is text",
}
SEVERAL_FRAMES = {
    "PNG": encoded(RGB, "PNG", save_all=True, append_images=[RGB.rotate(90)]),
    "WebP": encoded(RGB, "WEBP", save_all=True, append_images=[RGB.rotate(90)]),
    "TIFF": encoded(RGB, "TIFF", save_all=True, append_images=[RGB.rotate(90)]),
    "MPO": encoded(RGB, "MPO", save_all=True, append_images=[RGB.rotate(90)]),
}


def refusal(content: bytes) -> str:
    with pytest.raises(CohortError) as caught:
        decode(content, "image 'a.png'")
    return str(caught.value)


@pytest.mark.parametrize("content", ACCEPTED.values(), ids=ACCEPTED)
def test_images_of_8_bits_are_decoded(content: bytes) -> None:
    image = decode(content, "image 'a.png'")
    assert (image.mode, image.size) == ("RGB", (24, 24))


@pytest.mark.parametrize("content", TOO_DEEP.values(), ids=TOO_DEEP)
def test_pixels_that_are_not_8_bit_values_are_refused(content: bytes) -> None:
    assert "image 'a.png' has" in refusal(content)
    assert "whose range of values is unknown; convert it to an 8-bit RGB image" in refusal(content)


@pytest.mark.parametrize("content", OTHER_FORMATS.values(), ids=OTHER_FORMATS)
def test_other_formats_are_not_opened(content: bytes) -> None:
    assert "not an image of a known format (PNG, JPEG, TIFF, BMP, WEBP)" in refusal(content)


@pytest.mark.parametrize("content", SEVERAL_FRAMES.values(), ids=SEVERAL_FRAMES)
def test_an_image_of_several_frames_is_refused(content: bytes) -> None:
    assert "has several frames" in refusal(content)


def test_an_image_larger_than_any_patch_is_refused_before_it_is_decoded() -> None:
    side = int(MOST_PIXELS**0.5)
    small = png(DEEP[:1, :1, :3], 2)
    header = b"IHDR" + struct.pack(">II", side + 1, side) + small[24:29]
    large = small[:12] + header + struct.pack(">I", zlib.crc32(header)) + small[33:]
    assert "too large for a patch: it has 4,097 x 4,096 pixels" in refusal(large)
