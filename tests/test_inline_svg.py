"""A figure as an element of a page: nothing acts, ids do not clash, ink follows the page."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from drawn_results import map_of, results_of, run_of

from pathorob_checks import figures

SVG = "{http://www.w3.org/2000/svg}"
ELEMENTS = {"svg", "g", "defs", "clipPath", "path", "use", "rect", "image", "text", "tspan", "pattern"}
LINKS = ("#", "data:image/png;base64,", "data:image/jpeg;base64,")


@pytest.fixture(scope="module")
def svgs() -> dict[str, str]:
    return {
        picture.kind: figures.svg_of(picture.draw(), f"figure-{number}", label=picture.alt)
        for number, picture in enumerate(figures.pictures_of(results_of()))
    }


@pytest.mark.slow
def test_it_is_one_element_without_anything_that_acts(svgs):
    for svg in svgs.values():
        assert svg.startswith("<svg ")
        root = ElementTree.fromstring(svg)
        assert {element.tag.removeprefix(SVG) for element in root.iter()} <= ELEMENTS
        for element in root.iter():
            assert not any(name.lower().startswith("on") for name in element.attrib)
            assert element.get("href", "#").startswith(
                ("#", "data:image/png;base64,", "data:image/jpeg;base64,")
            )
        assert root.get("role") == "img"
        assert root.get("aria-label")
        assert "<style" not in svg
        assert "<metadata" not in svg


def test_every_reference_has_its_target_and_no_two_elements_share_an_id(svgs):
    page = "".join(svgs.values())
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    references = set(re.findall(r"url\(#([^)]+)\)", page)) | set(re.findall(r'href="#([^"]+)"', page))
    assert references == set(ids)


def test_the_same_figure_gives_the_same_element():
    first, second = (figures.svg_of(figures.neighbor_shares(results_of()), "a") for _ in range(2))
    assert first == second
    other = figures.svg_of(figures.neighbor_shares(results_of()), "b")
    assert other == first.replace('"a-', '"b-').replace("#a-", "#b-")


def test_text_stays_text_in_the_font_and_color_of_the_page(svgs):
    for kind, svg in svgs.items():
        assert re.search(r"<text [^>]*>[^<]+</text>", svg), kind
        assert "currentColor" in svg
        assert "#1d1d1b" not in svg
        assert "DejaVu" not in svg


def test_the_background_is_transparent(svgs):
    for kind in ("intervals", "index_over_k", "among_published"):
        root = ElementTree.fromstring(svgs[kind])
        fills = [re.search(r"fill:\s*([^;]+)", path.get("style", "")) for path in root.iter(f"{SVG}path")]
        sizes = [path.get("d", "") for path in root.iter(f"{SVG}path")]
        width = root.get("viewBox").split()[2]
        for fill, path in zip(fills, sizes, strict=True):
            if fill and fill[1] not in ("none",):
                assert f"L {width} " not in path, kind


def test_elements_are_small(svgs):
    for kind, svg in svgs.items():
        assert len(svg) < 60_000, kind
    large = map_of(1000, [f"class {n}" for n in range(9)], [f"center {n}" for n in range(30)])
    figure = figures.embedding_map(results_of(runs=[run_of(map=large)]))
    assert len(figures.svg_of(figure)) < 60_000


@pytest.mark.parametrize("prefix", ["", "1a", 'a" onload="x', "a b", "ä"])
def test_a_prefix_that_is_none_is_refused(prefix):
    with pytest.raises(ValueError, match="no prefix"):
        figures.svg_of(figures.intervals(results_of()), prefix)
