"""Bytes of an image file to an RGB image."""

from __future__ import annotations

import io

from PIL import Image, UnidentifiedImageError

from pathorob_checks.errors import CohortError

# Every other decoder of Pillow stays closed: some start programs (EPS: Ghostscript) or guess what is meant.
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP")
MOST_PIXELS = 1 << 24  # 4,096 x 4,096; a patch has 224 x 224 to 2,048 x 2,048
MOST_BYTES = 1 << 27  # more than such a patch takes without compression

# Modes that Pillow turns into 8-bit RGB without guessing a range of values.
_EIGHT_BIT_MODES = frozenset(
    {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"}
)
_UNSIGNED = 1
_BITS_PER_SAMPLE, _SAMPLE_FORMAT = 258, 339  # tags of TIFF


def decode(content: bytes, where: str) -> Image.Image:
    """Bytes of an image file -> RGB image (EXIF orientation is not applied, transparency is left out).

    Parameters
    ----------
    where : a description of the image, for messages: `image 'a.png' (manifest.csv line 7)`.

    Raises
    ------
    CohortError : it is not a file of one of `FORMATS`, cannot be decoded, is larger than any patch, has
        several frames, or has no 8-bit pixels.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            limit = min(MOST_PIXELS, Image.MAX_IMAGE_PIXELS or MOST_PIXELS)
            if image.width * image.height > limit:
                raise Image.DecompressionBombError(
                    f"it has {image.width:,} x {image.height:,} pixels, more than {limit:,}"
                )
            problem = _unknown_range(image)
            if problem is None and not _has_more_frames(image):
                return image.convert("RGB")
    except Image.DecompressionBombError as error:
        raise CohortError(
            f"{where} is too large for a patch: {error}",
            remedy="cut the slide into patches and list those",
        ) from error
    # Pillow's decoders raise errors of many kinds (OSError, SyntaxError, struct.error, ...).
    except Exception as error:
        # Pillow's own text for this holds the address of an object in memory.
        unknown = isinstance(error, UnidentifiedImageError)
        reason = (
            f"it is not an image of a known format ({', '.join(FORMATS)})"
            if unknown
            else " ".join(str(error).split())
        )
        raise CohortError(
            f"{where} cannot be decoded: {reason or type(error).__name__}",
            remedy="replace the file with an intact PNG, JPEG or TIFF image, or delete its row",
        ) from error
    if problem is not None:
        raise CohortError(
            f"{where} has {problem}, whose range of values is unknown",
            remedy="convert it to an 8-bit RGB image",
        )
    raise CohortError(
        f"{where} has several frames, and which of them is the patch is unknown",
        remedy="save the one that is meant as an image of its own",
    )


def _has_more_frames(image: Image.Image) -> bool:
    try:
        image.seek(1)  # not `n_frames`, for which a TIFF file is read to its end
    except EOFError:
        return False
    return True


def _unknown_range(image: Image.Image) -> str | None:
    """What makes 8-bit values of these pixels a guess; None where they are 8-bit values.

    Pillow opens 16-bit colors as 8-bit modes and drops the low byte: a camera's 12 bits become almost black.
    """
    if image.mode not in _EIGHT_BIT_MODES:
        return f"pixels of mode '{image.mode}'"
    if image.format == "TIFF":
        tags = image.tag_v2  # type: ignore[attr-defined]
        bits = max(tags.get(_BITS_PER_SAMPLE, (1,)), default=1)
        if any(kind != _UNSIGNED for kind in tags.get(_SAMPLE_FORMAT, ())):
            return "pixels that are not unsigned whole numbers"
    else:
        bits = (
            16 if image.format == "PNG" and any(_is_deep(tile) for tile in getattr(image, "tile", ())) else 8
        )
    return f"{bits}-bit pixels" if bits > 8 else None


def _is_deep(tile: object) -> bool:
    """Whether a tile of a PNG file has 16-bit values: its raw mode is like 'RGB;16B'."""
    arguments = tile[3]  # type: ignore[index]
    return ";16" in (arguments if isinstance(arguments, str) else str(arguments[0]))
