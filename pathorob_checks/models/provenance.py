"""Which code turns an image into numbers: modules of this package, and libraries."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

# Modules between a file of weights and an embedding: a change in one may change the numbers.
ENCODER_CODE = (
    "checkpoints.py",
    "encoder.py",
    "layers.py",
    "open_clip_config.py",
    "open_clip_model.py",
    "pixel_steps.py",
    "pooling.py",
    "precision.py",
    "preprocessing.py",
    "processor_transform.py",
    "tensor_names.py",
    "timm_config.py",
    "timm_model.py",
    "transfers.py",
    "transformers_config.py",
    "transformers_model.py",
    "weights.py",
)

_LIBRARIES = ("torch", "torchvision", "timm", "pillow")
# Those that only models of one library need, by distribution name.
_LIBRARIES_OF = {"transformers": ("transformers",), "open_clip": ("open-clip-torch",)}


def versions(library: str | None = None) -> dict[str, str]:
    """Versions of the libraries by distribution name, with those that a `library`'s models need as well."""
    library_versions: dict[str, str] = {}
    for name in (*_LIBRARIES, *_LIBRARIES_OF.get(library or "", ())):
        try:
            library_versions[name] = version(name)
        except PackageNotFoundError:
            library_versions[name] = "none"
    return library_versions
