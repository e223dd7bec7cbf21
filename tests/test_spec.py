"""The forms of `--fm`, and the names that specs get in test ids."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pathorob_checks.errors import SpecError
from pathorob_checks.models.spec import DEMO_NAMES, ModelSpec, parse_spec, short_names


@pytest.mark.parametrize(
    ("text", "kind", "target", "revision"),
    [
        ("hf-hub:timm/vit_tiny", "hf-hub", "timm/vit_tiny", None),
        ("hf-hub:timm/vit_tiny.in1k@main", "hf-hub", "timm/vit_tiny.in1k", "main"),
        ("hf-hub:org/model@refs/pr/3", "hf-hub", "org/model", "refs/pr/3"),
        ("local-dir:models/mine", "local-dir", "models/mine", None),
        ("local-dir:C:\\models\\mine@2", "local-dir", "C:\\models\\mine@2", None),
        ("python:my.encoders:build", "python", "my.encoders:build", None),
        ("python:encoders:Zoo.build", "python", "encoders:Zoo.build", None),
        ("demo:stain-invariant", "demo", "stain-invariant", None),
        (" demo:color-sensitive ", "demo", "color-sensitive", None),
    ],
)
def test_each_form_is_taken_apart(text: str, kind: str, target: str, revision: str | None) -> None:
    assert parse_spec(text) == ModelSpec(text.strip(), kind, target, revision)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "virchow2",
        "embeddings:folder",
        "s3:bucket/model",
        "hf-hub:",
        "hf-hub:model",
        "hf-hub:a/b/c",
        "hf-hub:../secret",
        "hf-hub:org/..",
        "hf-hub:org/mo--del",
        "hf-hub:org/-model",
        "hf-hub:org/mod el",
        "hf-hub:org/model@",
        "hf-hub:org/model@../../main",
        "hf-hub:org/model@a b",
        "local-dir:",
        "python:module",
        "python:mod-ule:factory",
        "python:module:fac()",
        "python::factory",
        "demo:",
        "demo:blue",
    ],
)
def test_what_names_no_model_is_an_error_of_one_sentence(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_spec(text)
    assert "\n" not in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("demo:stain-invarient", "demo:stain-invariant"),
        ("demo:colour-sensitive", "demo:color-sensitive"),
        ("stain-invariant", "demo:stain-invariant"),
        ("timm/vit_tiny@v1", "hf-hub:timm/vit_tiny@v1"),
        ("hf_hub:timm/vit_tiny", "hf-hub:timm/vit_tiny"),
        ("https://huggingface.co/timm/vit_tiny", "hf-hub:timm/vit_tiny"),
    ],
)
def test_a_near_miss_is_told_what_was_meant(text: str, suggestion: str) -> None:
    with pytest.raises(SpecError, match=f"did you mean {suggestion}"):
        parse_spec(text)


def test_an_unknown_kind_is_told_the_forms_that_exist() -> None:
    with pytest.raises(SpecError) as caught:
        parse_spec("virchow2")
    for form in ("hf-hub:org/model[@revision]", "local-dir:PATH", "python:module:factory", "demo:"):
        assert form in str(caught.value)


@pytest.mark.parametrize(
    ("texts", "names"),
    [
        (["hf-hub:timm/vit_tiny"], ["vit_tiny"]),
        (["hf-hub:a/vit", "hf-hub:b/vit", "hf-hub:a/uni"], ["a/vit", "b/vit", "uni"]),
        (["hf-hub:a/vit@v1", "hf-hub:a/vit@v2"], ["a/vit@v1", "a/vit@v2"]),
        (["hf-hub:a/vit", "hf-hub:a/vit@v2"], ["a/vit", "a/vit@v2"]),
        (["local-dir:one/vit", "local-dir:two/vit"], ["one/vit", "two/vit"]),
        (["local-dir:/x/vit", "hf-hub:x/vit"], ["/x/vit", "x/vit"]),
        (
            ["python:a:build", "python:b:build", "demo:stain-invariant"],
            ["a:build", "b:build", "stain-invariant"],
        ),
    ],
)
def test_names_are_as_short_as_the_other_specs_allow(texts: list[str], names: list[str]) -> None:
    assert short_names([parse_spec(text) for text in texts]) == names


@pytest.mark.parametrize(
    "texts",
    [
        ["demo:stain-invariant", "demo:stain-invariant"],
        ["hf-hub:a/vit@v1", "hf-hub:b/vit", "hf-hub:a/vit@v1"],
        ["local-dir:models/vit", "local-dir:models/../models/vit/"],
    ],
)
def test_the_same_model_twice_is_an_error(texts: list[str]) -> None:
    with pytest.raises(SpecError, match="twice"):
        short_names([parse_spec(text) for text in texts])


def test_demo_names_are_those_that_the_demo_module_has() -> None:
    from pathorob_checks.models.demo import DEMO_MODELS

    assert set(DEMO_NAMES) == set(DEMO_MODELS)


def test_parsing_a_spec_imports_nothing_heavy() -> None:
    code = """if True:
        import sys
        from pathorob_checks import hub
        from pathorob_checks.models import loading, spec
        spec.parse_spec("hf-hub:org/model")
        heavy = ("torch", "timm", "pandas", "sklearn", "huggingface_hub", "PIL")
        print([name for name in heavy if name in sys.modules])
    """
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
