"""A notebook shows a figure by itself, as a small image with the pixels of a fine screen."""

import io

from matplotlib.figure import Figure
from PIL import Image

from pathorob_checks.figures.style import new_figure, style


def image_of(figure: Figure) -> tuple[bytes, Image.Image, dict[str, int]]:
    content, size = figure._repr_png_()  # type: ignore[attr-defined]
    return content, Image.open(io.BytesIO(content)), size


def drawn() -> Figure:
    with style():
        figure = new_figure(2.0)
        figure.subplots().plot([0, 1], [0, 1], label="a line")
        return figure


def test_the_image_has_twice_the_pixels_of_the_page() -> None:
    _, image, size = image_of(drawn())
    assert image.format == "PNG"
    assert size == {"width": image.width // 2}


def test_the_image_is_small_and_its_paper_is_white() -> None:
    content, image, _ = image_of(drawn())
    whole = io.BytesIO()
    drawn().savefig(whole, format="png")
    assert len(content) < len(whole.getvalue()) / 2
    assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)


def test_the_same_figure_is_the_same_image() -> None:
    assert image_of(drawn())[0] == image_of(drawn())[0]
    assert b"Software" not in image_of(drawn())[0]
