"""What a criteria file may say beyond a number per metric, and how several of them are merged."""

import json

import pytest

from pathorob_checks.criteria.comparison import differences
from pathorob_checks.criteria.files import load_profile, load_profiles
from pathorob_checks.criteria.mistakes import CriteriaFileError
from pathorob_checks.criteria.profile import SCHEMA, Profile
from pathorob_checks.criteria.published import published_value
from pathorob_checks.errors import CriteriaError

HEAD = f'schema = "{SCHEMA}"\n'
ENTRY = """
[[criteria]]
id = "index"
metric = "robustness_index"
at_least = 0.7
rationale = "Ours."
"""


@pytest.fixture
def write(tmp_path):
    def written(name, text, settings=""):
        path = tmp_path / name
        path.write_text(
            HEAD + f'name = "{path.stem}"\n' + settings + text if path.suffix == ".toml" else text
        )
        return path

    return written


# --- entries ----------------------------------------------------------------------------------------------


def test_a_bound_can_be_the_published_value_of_an_fm_less_a_margin(write):
    text = ENTRY.replace("0.7", '{ published_fm = "UNI2-h", margin = 0.02 }')
    (criterion,) = load_profile(write("a.toml", text)).criteria_for(("tcga",))
    assert criterion.bound == pytest.approx(0.803 - 0.02)
    assert "the published 0.803 of UNI2-h on tcga, with a margin of 0.02" in criterion.rationale
    (upper,) = load_profile(write("a.toml", text.replace("at_least", "at_most"))).criteria_for(("tcga",))
    assert upper.bound == pytest.approx(0.803 + 0.02)


def test_a_published_bound_of_a_mean_is_the_mean_of_the_published_values(write):
    mean = 'aggregate = "mean"\ncohorts = ["camelyon", "tcga"]\n'
    text = ENTRY.replace("0.7", '{ published_fm = "UNI2-h" }') + mean
    (criterion,) = load_profile(write("a.toml", text)).criteria_for(("camelyon", "tcga", "demo"))
    assert criterion.bound == pytest.approx((0.544 + 0.803) / 2)
    assert (criterion.cohort, criterion.quantity) == ("camelyon+tcga", "mean")


def test_a_mean_is_about_its_cohorts_even_where_the_run_lacks_one(write):
    mean = ENTRY + 'aggregate = "mean"\ncohorts = ["camelyon", "tcga"]\n'
    profile = load_profile(write("a.toml", mean))
    assert [criterion.cohorts for criterion in profile.criteria_for(("camelyon",))] == [("camelyon", "tcga")]


def test_who_asks_and_what_for_is_carried_along(write):
    more = (
        'owner = "J. Doe"\nrequirements = ["REQ-12", "REQ-13"]\nminimum_support = 0.1\nrule = "confident"\n'
    )
    (criterion,) = load_profile(write("a.toml", ENTRY + more)).criteria_for(("tcga",))
    assert (criterion.owner, criterion.requirements) == ("J. Doe", ("REQ-12", "REQ-13"))
    assert (criterion.minimum_support, criterion.rule) == (0.1, "confident")


def test_an_entry_without_a_rule_is_judged_by_the_files(write):
    assert load_profile(write("a.toml", ENTRY)).criteria_for(("tcga",))[0].rule == "three-way"
    assert load_profile(write("a.toml", ENTRY, 'rule = "point"\n')).criteria_for(("tcga",))[0].rule == "point"


def test_the_release_profile_has_the_floors_bounds_and_forgives_nothing():
    floor, release = load_profile("floor"), load_profile("release")
    assert release.criteria == floor.criteria
    assert (floor.inconclusive, floor.require_complete) == ("warn", False)
    assert (release.inconclusive, release.require_complete) == ("fail", True)


REFUSED = {
    'rule = "strict"': "'rule' is 'strict', which is unknown; known rules are point, confident, three-way",
    'group = "worst"': "'group' is 'worst', which is unknown",
    'aggregate = "mean"': "'aggregate' needs the names of its cohorts",
    'aggregate = "mean"\ncohorts = ["tcga"]': "give two or more",
    'group = "worst-class"\naggregate = "mean"\ncohorts = ["a", "b"]': "cannot be combined with aggregate",
    "minimum_support = 2": "'minimum_support' is 2, outside 0..1",
    'cohorts = ["tcga", "tcga"]': "names a cohort twice",
    "requirements = [1]": "'requirements' must be text, not 1",
}


@pytest.mark.parametrize("line", REFUSED)
def test_an_entry_that_makes_no_sense_is_refused(line, write):
    with pytest.raises(CriteriaFileError, match=REFUSED[line]):
        load_profile(write("a.toml", ENTRY + line + "\n"))


@pytest.mark.parametrize(
    ("bound", "message"),
    [
        ('{ published_fm = "UNI-2h" }', "published_fm 'UNI-2h', which is unknown; did you mean 'UNI2-h'"),
        ('{ published_fm = "UNI2-h", margin = -1 }', "margin -1, which is negative"),
        ('{ published_fm = "UNI2-h", margin = "x" }', "needs a number as margin"),
    ],
)
def test_a_published_bound_that_does_not_exist_is_refused(bound, message, write):
    with pytest.raises(CriteriaFileError, match=message):
        load_profile(write("a.toml", ENTRY.replace("0.7", bound)))


def test_a_group_has_no_published_values_and_no_upper_bound(write):
    group = ENTRY + 'group = "worst-center"\n'
    with pytest.raises(CriteriaFileError, match="'group' has no published values"):
        load_profile(write("a.toml", group.replace("0.7", "{ published_quantile = 0.5 }")))
    with pytest.raises(
        CriteriaFileError, match="'group' needs at_least, because the worst group has the lowest value"
    ):
        load_profile(write("a.toml", group.replace("at_least", "at_most")))


@pytest.mark.parametrize(
    "line", ["confidence = 95", "confidence = 1", "inconclusive = true", "[baseline]\nmargin.clustering = 1"]
)
def test_a_setting_that_makes_no_sense_is_refused_with_its_line(line, write):
    with pytest.raises(CriteriaFileError) as caught:
        load_profile(write("a.toml", ENTRY, line + "\n"))
    assert [mistake.line for mistake in caught.value.mistakes] == [2 + len(line.splitlines())]


def test_a_profile_survives_its_journey_to_a_worker(write):
    bound = '{ published_fm = "UNI2-h", margin = 0.02 }'
    profile = load_profile(write("a.toml", ENTRY.replace("0.7", bound), "confidence = 0.9\n"))
    again = Profile.model_validate(json.loads(json.dumps(profile.model_dump(mode="json"))))
    assert again == profile
    assert again.digest == profile.digest


# --- YAML and mistakes ------------------------------------------------------------------------------------

YAML = f"""schema: {SCHEMA}
name: ours
baseline:
  margin: {{clustering_score: 0.1}}
criteria:
  - id: index
    metric: robustness_index
    at_least: {{published_quantile: 0.5}}
    rationale: Ours.
    requirements: [REQ-1]
"""


def test_yaml_says_what_toml_says(write):
    toml = load_profile(
        write(
            "ours.toml",
            ENTRY.replace("0.7", "{ published_quantile = 0.5 }") + 'requirements = ["REQ-1"]\n',
            "[baseline]\nmargin = { clustering_score = 0.1 }\n",
        )
    )
    assert load_profile(write("ours.yaml", YAML)) == toml
    assert load_profile(write("ours.yml", YAML)).digest == toml.digest


def test_every_mistake_is_told_with_its_line(write):
    text = (
        YAML.replace("name: ours", "name: ''").replace("0.5", "5").replace("Ours.", "''") + "    owned: x\n"
    )
    path = write("ours.yaml", text)
    with pytest.raises(CriteriaFileError) as caught:
        load_profile(path)
    assert [mistake.line for mistake in caught.value.mistakes] == [2, 8, 9, 11]
    lines = str(caught.value).splitlines()
    assert lines[0] == "the criteria have 4 mistakes:"
    assert all(line.startswith(f"{path}:") for line in lines[1:])


def test_lines_in_toml_are_those_of_the_statement(write):
    text = (
        ENTRY.replace("0.7", "7")
        + 'cohorts = [\n  "tcga",\n  1,\n]\n# end\n'
        + ENTRY.replace("index", "b b", 1)
    )
    with pytest.raises(CriteriaFileError) as caught:
        load_profile(write("a.toml", text))
    assert [(mistake.line, mistake.problem.split(":")[0]) for mistake in caught.value.mistakes] == [
        (7, "criterion 'index'"),
        (9, "criterion 'index'"),
        (16, "criterion 'b b'"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "not valid YAML: .*line 1"),
        ("- a\n", "holds no keys"),
        ("", "holds no keys"),
        ("a: &x [*x]\n", r"anchors \(&\) and aliases \(\*\) are not allowed \(at line 1\)"),
        (YAML + "name: other\n", "the key 'name' stands twice"),
        (YAML.replace("0.5", "5e-1"), "needs a number as published_quantile, not '5e-1'"),
        (YAML.replace("name: ours", "1: ours"), "no 'name'"),
        (YAML.replace("name: ours", "name: 2020-01-01"), "'name' must be text"),
    ],
)
def test_a_broken_yaml_file_is_refused(text, message, write):
    with pytest.raises(CriteriaError, match=message) as caught:
        load_profile(write("ours.yaml", text))
    assert caught.value.remedy


# --- several files ----------------------------------------------------------------------------------------


def merged(write, first, second, settings=("", "")):
    paths = [write(f"{name}.toml", *parts) for name, parts in
             zip("ab", ((first, settings[0]), (second, settings[1])), strict=True)]  # fmt: skip
    return load_profiles(paths)


def test_a_later_file_adds_criteria_and_both_names_are_told(write):
    profile = merged(write, ENTRY, ENTRY.replace('"index"', '"second"'))
    assert profile.name == "a+b"
    assert [entry.id for entry in profile.criteria] == ["index", "second"]


STRICTER = {"higher": ("0.7", "0.8"), "confident": ("rationale", 'rule = "confident"\nrationale'),
            "with support": ("rationale", "minimum_support = 0.1\nrationale")}  # fmt: skip


@pytest.mark.parametrize("how", STRICTER)
def test_a_later_file_may_ask_more_under_the_same_id_and_not_less(how, write):
    strict = ENTRY.replace(*STRICTER[how])
    alone = load_profile(write("c.toml", strict)).criteria_for(("tcga",))
    assert merged(write, ENTRY, strict).criteria_for(("tcga",)) == alone
    with pytest.raises(
        CriteriaFileError, match=r"criterion 'index' is in an earlier file too .* and here it is less strict"
    ) as caught:
        merged(write, strict, ENTRY)
    assert caught.value.mistakes[0].file.endswith("b.toml")
    assert caught.value.mistakes[0].line == 4
    loosened = merged(write, strict, ENTRY + "override = true\n")
    assert loosened.criteria[0].at_least == 0.7


def test_what_cannot_be_compared_needs_an_override(write):
    other_metric = ENTRY.replace("robustness_index", "clustering_score")
    with pytest.raises(CriteriaFileError, match="in metric, bound"):
        merged(write, ENTRY, other_metric)
    assert merged(write, ENTRY, other_metric + "override = true\n").criteria[0].metric == "clustering_score"


def test_bounds_of_different_kinds_are_compared_on_the_benchmark(write):
    # UNI2-h stands above 0.5 on all three cohorts, and above 0.6 on two of them.
    relative = ENTRY.replace("0.7", '{ published_fm = "UNI2-h" }')
    assert published_value("robustness_index", "camelyon", "UNI2-h") == 0.544
    profile = merged(write, ENTRY.replace("0.7", "0.5"), relative)
    assert str(profile.criteria[0].bound) == "published UNI2-h"
    with pytest.raises(CriteriaFileError, match="in bound"):
        merged(write, ENTRY.replace("0.7", "0.6"), relative)


def test_settings_may_be_tightened_and_not_relaxed(write):
    second = ENTRY.replace('"index"', '"second"')
    tight = merged(
        write, ENTRY, second, ('inconclusive = "warn"\n', 'inconclusive = "fail"\nconfidence = 0.99\n')
    )
    assert (tight.inconclusive, tight.confidence) == ("fail", 0.99)
    unsaid = merged(write, ENTRY, second, ('inconclusive = "warn"\nconfidence = 0.99\n', ""))
    assert (unsaid.inconclusive, unsaid.confidence) == ("warn", 0.99)
    with pytest.raises(CriteriaFileError, match="inconclusive is relaxed from fail to warn") as caught:
        merged(write, ENTRY, second, ("", 'inconclusive = "warn"\n'))
    assert caught.value.mistakes[0].line == 3


def test_each_file_keeps_its_own_rule(write):
    profile = merged(
        write, ENTRY, ENTRY.replace('"index"', '"second"'), ('rule = "point"\n', 'rule = "confident"\n')
    )
    assert [criterion.rule for criterion in profile.criteria_for(("tcga",))] == ["point", "confident"]


def test_the_mistakes_of_all_files_are_told_at_once(write):
    with pytest.raises(CriteriaFileError) as caught:
        merged(write, ENTRY.replace("0.7", "7"), ENTRY.replace("0.7", "8"))
    assert [mistake.file[-6:] for mistake in caught.value.mistakes] == ["a.toml", "b.toml"]


# --- differences ------------------------------------------------------------------------------------------

CHANGES = {
    "added": ("", ENTRY),
    "removed": (ENTRY, ""),
    "tightened": (ENTRY, ENTRY.replace("0.7", "0.71")),
    "loosened": (ENTRY, ENTRY.replace("0.7", "0.69")),
    "reworded": (ENTRY, ENTRY.replace("Ours", "Theirs")),
    "changed": (ENTRY, ENTRY.replace("0.7", "0.69") + "minimum_support = 0.1\n"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_difference_is_named_by_what_it_does_to_the_gate(change, write):
    rest = ENTRY.replace('"index"', '"rest"')
    before, after = (load_profile(write(f"{n}.toml", rest + CHANGES[change][n])) for n in (0, 1))
    changes = [one.change for one in differences(before, after)]
    assert changes == [change]


def test_cohorts_rules_and_optional_criteria_count_as_strictness(write):
    def change(before, after):
        profiles = [load_profile(write(f"{n}.toml", ENTRY + text)) for n, text in enumerate((before, after))]
        return [one.change for one in differences(*profiles)]

    assert change("", 'cohorts = ["tcga"]\n') == ["loosened"]
    assert change('cohorts = ["tcga"]\n', 'cohorts = ["tcga", "camelyon"]\n') == ["tightened"]
    assert change('cohorts = ["tcga"]\n', 'cohorts = ["camelyon"]\n') == ["changed"]
    assert change("", "required = false\n") == ["loosened"]
    assert change("", 'rule = "confident"\n') == ["tightened"]
    assert change("", 'rule = "point"\n') == ["changed"]
    assert change('rule = "three-way"\n', "") == []
