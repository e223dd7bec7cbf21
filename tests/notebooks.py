"""Running the notebooks of the documentation; `python tests/notebooks.py` renews the outputs that they show.

GitHub shows a notebook with the outputs in its file, so they are kept, but small, and without anything of the
machine that ran them.
"""

from __future__ import annotations

import base64
import io
import os
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from PIL import Image

NOTEBOOKS = tuple(sorted((Path(__file__).parents[1] / "docs" / "notebooks").glob("*.ipynb")))
LARGEST_IMAGE = 80_000  # bytes
TIMEOUT_S = 240
_PAGE = 640  # pixels of width that a page shows


def executed(notebook: Any, folder: Path, environment: dict[str, str] | None = None) -> Any:
    """Run a notebook in an empty folder, without what the user's own Jupyter is set to."""
    with tempfile.TemporaryDirectory() as settings:
        own = {"JUPYTER_RUNTIME_DIR": settings, "IPYTHONDIR": settings, "JUPYTER_CONFIG_DIR": settings}
        client = NotebookClient(
            notebook,
            timeout=TIMEOUT_S,
            kernel_name="python3",
            record_timing=False,
            resources={"metadata": {"path": str(folder)}},
        )
        return client.execute(env={**os.environ, **own, **(environment or {})})


def outputs(notebook: Any) -> list[Any]:
    """All outputs of all cells."""
    return [one for cell in notebook.cells for one in cell.get("outputs", ())]


def shrink(notebook: Any) -> None:
    """Leave one image for each output, and of a large one no more pixels and colors than a page needs."""
    for output in outputs(notebook):
        data = output.get("data", {})
        if "image/png" in data:
            data.pop("image/jpeg", None)
            content = base64.b64decode(data["image/png"])
            if len(content) > LARGEST_IMAGE:
                data["image/png"] = base64.b64encode(_smaller(content)).decode("ascii")


def _smaller(content: bytes) -> bytes:
    image = Image.open(io.BytesIO(content)).convert("RGB")
    image.thumbnail((_PAGE, 4 * _PAGE))
    shrunk = io.BytesIO()
    image.quantize(32, dither=Image.Dither.NONE).save(shrunk, "PNG", optimize=True)
    return shrunk.getvalue()


def main() -> None:
    """Run every notebook and write it with its new outputs."""
    for path in NOTEBOOKS:
        notebook = nbformat.read(path, as_version=4)
        with tempfile.TemporaryDirectory() as folder:
            executed(notebook, Path(folder))
        shrink(notebook)
        notebook.metadata.language_info = {"name": "python"}
        nbformat.write(notebook, path)


if __name__ == "__main__":
    main()
