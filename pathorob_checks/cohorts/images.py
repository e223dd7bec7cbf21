"""Bytes of an image file to an RGB image."""

from __future__ import annotations

import io

from PIL import Image, UnidentifiedImageError

from pathorob_checks.errors import CohortError

# Modes that Pillow turns into 8-bit RGB without guessing a range of values.
_EIGHT_BIT_MODES = frozenset(
    {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"}
)


def decode(content: bytes, where: str) -> Image.Image:
    """Bytes of an image file -> RGB image (first frame; EXIF orientation is not applied).

    Parameters
    ----------
    where : a description of the image, for messages: `image 'a.png' (manifest.csv line 7)`.

    Raises
    ------
    CohortError : it cannot be decoded, is larger than any patch, or has no 8-bit pixels.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            mode = image.mode
            limit = Image.MAX_IMAGE_PIXELS
            if limit is not None and image.width * image.height > limit:
                raise Image.DecompressionBombError(f"{image.width} x {image.height} pixels")
            if mode in _EIGHT_BIT_MODES:
                return image.convert("RGB")
    except Image.DecompressionBombError as error:
        problem = f"{where} is too large for a patch: {error}"
        raise CohortError(problem, remedy="cut the slide into patches and list those") from error
    # Pillow's decoders raise errors of many kinds (OSError, SyntaxError, struct.error, ...).
    except Exception as error:
        # Pillow's own text for this holds the address of an object in memory.
        unknown = isinstance(error, UnidentifiedImageError)
        reason = "it is not an image of a known format" if unknown else " ".join(str(error).split())
        raise CohortError(
            f"{where} cannot be decoded: {reason or type(error).__name__}",
            remedy="replace the file with an intact PNG, JPEG or TIFF image, or delete its row",
        ) from error
    raise CohortError(
        f"{where} has pixels of mode '{mode}', whose range of values is unknown",
        remedy="convert it to an 8-bit RGB image",
    )
