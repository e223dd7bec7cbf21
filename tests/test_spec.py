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
        ("virchow2", "recipe", "virchow2", None),
        ("uni2-h@main", "recipe", "uni2-h", "main"),
        ("conch-v1.5@" + "a" * 40, "recipe", "conch-v1.5", "a" * 40),
        ("embeddings:out/mine", "embeddings", "out/mine", None),
        ("embeddings:out@2", "embeddings", "out@2", None),
        ("local-dir:models/mine", "local-dir", "models/mine", None),
        ("local-dir:C:\\models\\mine@2", "local-dir", "C:\\models\\mine@2", None),
        ("python:my.encoders:build", "python", "my.encoders:build", None),
        ("python:encoders:Zoo.build", "python", "encoders:Zoo.build", None),
        ("demo:stain-invariant", "demo", "stain-invariant", None),
        (" demo:color-sensitive ", "demo", "color-sensitive", None),
    ],
)
def test_each_form_is_parsed(text: str, kind: str, target: str, revision: str | None) -> None:
    assert parse_spec(text) == ModelSpec(text.strip(), kind, target, revision)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "virchow3000",
        "virchow2@",
        "virchow2@../x",
        "@main",
        "Virchow2",
        "embeddings:",
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
def test_what_is_not_a_model_is_an_error_of_one_sentence(text: str) -> None:
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
        ("Virchow2", "virchow2"),
        ("UNI2h@main", "uni2-h@main"),
        ("h_optimus_1", "h-optimus-1"),
        ("embedings:out", "embeddings:out"),
        ("timm/vit_tiny@v1", "hf-hub:timm/vit_tiny@v1"),
        ("hf_hub:timm/vit_tiny", "hf-hub:timm/vit_tiny"),
        ("https://huggingface.co/timm/vit_tiny", "hf-hub:timm/vit_tiny"),
        ("https://huggingface.co/timm/vit_tiny/tree/v1", "hf-hub:timm/vit_tiny@v1"),
        ("hf-hub:https://hf.co/timm/vit_tiny", "hf-hub:timm/vit_tiny"),
        ("hf:timm/vit_tiny", "hf-hub:timm/vit_tiny"),
        ("timm:org/model@v1", "hf-hub:org/model@v1"),
        ("hf-hub:virchow2", "virchow2"),
        ("hf-hub:hoptimus1", "h-optimus-1"),
        ("recipe:virchow-2", "virchow2"),
        ("demo", "demo:stain-invariant"),
        ("demo:color_sensitive", "demo:color-sensitive"),
        ("local:models/vit", "local-dir:models/vit"),
        ("/nowhere/vit", "local-dir:/nowhere/vit"),
        ("hf-hub:./vit", "local-dir:./vit"),
        ("python:encoders.build", "python:encoders:build"),
        ("python:ours/encoders.py:build", "python:ours.encoders:build"),
    ],
)
def test_the_error_for_a_near_miss_suggests_what_was_meant(text: str, suggestion: str) -> None:
    with pytest.raises(SpecError, match=f"did you mean {suggestion}"):
        parse_spec(text)


def test_the_error_for_an_unknown_kind_lists_the_forms() -> None:
    with pytest.raises(SpecError) as caught:
        parse_spec("nonsense")
    for form in (
        "recipe",
        "virchow2[@revision]",
        "embeddings:PATH",
        "hf-hub:org/model[@revision]",
        "local-dir:PATH",
        "python:module:factory",
        "demo:",
    ):
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
        (["virchow2", "uni@v1"], ["virchow2", "uni"]),
        (["virchow2@v1", "virchow2@v2"], ["virchow2@v1", "virchow2@v2"]),
        (["virchow2", "hf-hub:me/virchow2"], ["virchow2", "me/virchow2"]),
        (["embeddings:one/uni", "embeddings:two/uni"], ["one/uni", "two/uni"]),
        (["local-dir:/x/vit", "embeddings:/x/vit"], ["local-dir:/x/vit", "embeddings:/x/vit"]),
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
        ["embeddings:out", "embeddings:./out"],
        ["virchow2", "virchow2"],
        ["virchow2", "hf-hub:paige-ai/Virchow2"],
        ["hf-hub:mahmoodlab/uni@v1", "uni@v1"],
    ],
)
def test_the_same_model_twice_is_an_error(texts: list[str]) -> None:
    with pytest.raises(SpecError, match="twice"):
        short_names([parse_spec(text) for text in texts])


def test_a_recipe_and_its_repository_at_another_revision_are_two_models() -> None:
    names = short_names([parse_spec("virchow2@v1"), parse_spec("hf-hub:paige-ai/Virchow2@v2")])
    assert names == ["virchow2", "Virchow2"]


def test_demo_names_are_those_that_the_demo_module_has() -> None:
    from pathorob_checks.models.demo import DEMO_MODELS

    assert set(DEMO_NAMES) == set(DEMO_MODELS)


def test_parsing_a_spec_imports_nothing_heavy() -> None:
    code = """if True:
        import sys
        from pathorob_checks import hub
        from pathorob_checks.models import loading, spec
        specs = [spec.parse_spec(text) for text in ("hf-hub:org/model", "virchow2", "embeddings:out")]
        spec.short_names(specs)
        heavy = ("pydantic", "transformers", "torch", "timm", "pandas", "sklearn", "huggingface_hub", "PIL")
        print([name for name in heavy if name in sys.modules])
    """
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
