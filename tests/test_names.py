"""Two names that a reader takes for one are refused, and names that only resemble each other are not."""

# ruff: noqa: RUF001 (it is about letters that look like others)

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from own_forms import Given, assert_mentions, load, problem, twelve, write_manifest

from pathorob_checks.cohorts import registry
from pathorob_checks.cohorts.lookalikes import mixed_word, skeleton
from pathorob_checks.cohorts.names import AcceptedNames, Names, check_ids, read_accepted_names
from pathorob_checks.errors import CohortError

NORTH = "north"
REFUSED_ALONE = {
    "zero-width space": "north\u200b",
    "zero-width joiner": "no\u200drth",
    "soft hyphen": "no\u00adrth",
    "byte order mark inside": "\ufeffnorth",
    "right-to-left override": "\u202enorth",
    "left-to-right mark": "north\u200e",
    "variation selector": "north\ufe0f",
    "grapheme joiner": "no\u034frth",
    "Hangul filler": "north\u3164",
    "blank Braille pattern": "north\u2800",
    "tag letter": "north\U000e0041",
    "private use": "north\ue000",
    "unassigned": "north\u0378",
    "line separator": "north\u2028south",
    "next line": "no\u0085rth",
    "word joiner": "north\u2060",
    "Cyrillic letter": "n\u043erth",
    "Greek letter": "n\u03bfrth",
    "Armenian letter": "n\u0585rth",
    "Cherokee letter": "\u13a1oad",
    "Cyrillic letter under a mark": "n\u0332\u043erth",
    "Lisu": "\ua4d0\ua4e1",
    "Coptic": "\u2c9e\u2ca4",
    "Deseret": "\U00010404",
    "Tifinagh": "\u2d54",
    "Runic": "\u16b7",
    "Canadian syllabics": "\u146d\u146d",
    "Old Italic": "\U00010301",
    "Georgian letters of the church": "\u2d00",
    "part of a Chinese character": "\u2e85\u5317",
}
REFUSED_TOGETHER = {
    "case": ("north", "North"),
    "sharp s": ("Gießen", "GIESSEN"),
    "decomposed": ("K\u00f6ln", "Ko\u0308ln"),
    "full width": ("RUMC", "\uff32\uff35\uff2d\uff23"),
    "mathematical letters": ("RUMC", "\U0001d411UMC"),
    "ligature": ("fibrosis", "\ufb01brosis"),
    "no-break space": ("U Hospital", "U\u00a0Hospital"),
    "thin space": ("U Hospital", "U\u2009Hospital"),
    "ideographic space": ("U Hospital", "U\u3000Hospital"),
    "two spaces": ("U Hospital", "U  Hospital"),
    "no space": ("U Hospital", "UHospital"),
    "underscore": ("U Hospital", "U_Hospital"),
    "final dot": ("Lyon", "Lyon."),
    "comma": ("Lyon, Centre", "Lyon Centre"),
    "apostrophe": ("St. Mary's", "St. Mary\u2019s"),
    "modifier apostrophe": ("St. Mary's", "St. Mary\u02bcs"),
    "no apostrophe": ("St. Mary's", "St. Marys"),
    "en dash": ("A-1", "A\u20131"),
    "minus sign": ("A-1", "A\u22121"),
    "hyphen": ("A-1", "A\u20101"),
    "no hyphen": ("A-1", "A1"),
    "quotes": ("A", '"A"'),
    "parentheses": ("Lyon (Sud)", "Lyon Sud"),
    "accent": ("K\u00f6ln", "Koln"),
    "stroke": ("\u0141\u00f3d\u017a", "Lodz"),
    "combining mark below": ("north", "n\u0332orth"),
    "combining overlay": ("north", "nor\u0336th"),
    "dotless i": ("Paris", "Par\u0131s"),
    "script g": ("Hamburg", "Hambur\u0261"),
    "hook": ("Bonn", "Bo\u0272n"),
    "right leg": ("Bonn", "Bon\u019e"),
    "mark of another script": ("north", "nor\u0483th"),
    "accents of another script": ("north", "nor\u0591\u0592th"),
    "small capital": ("north", "\u0274orth"),
    "whole word in Cyrillic": ("coco", "\u0441\u043e\u0441\u043e"),
    "whole word in Cyrillic, upper case": ("CHA", "\u0421\u041d\u0410"),
    "whole word in Greek": ("AB", "\u0391\u0392"),
    "letter that is a word": ("Center A", "Center \u0410"),
    "zero": ("AO", "A0"),
    "one": ("Al", "A1"),
    "capital i": ("Al", "AI"),
    "r and n": ("Bern", "Bem"),
    "separator between digits": ("1-12", "1_12"),
    "slash": ("MUSC_PROP", "MUSC/PROP"),
    "middle dot": ("A B", "A\u00b7B"),
    "bullet at the start": ("Lyon", "\u2022 Lyon"),
    "registered sign": ("AT2", "AT2\u00ae"),
    "fullwidth digit": ("Center 1", "Center \uff11"),
    "Arabic digit form": ("A.1", "A1"),
    "roman numeral sign": ("Grade IV", "Grade \u2163"),
    "superscript": ("CD3", "CD\u00b3"),
    "Arabic digit": ("Center 1", "Center \u0661"),
    "Persian digit": ("Center 4", "Center \u06f4"),
    "Indian digit": ("Center 1", "Center \u0967"),
    "Thai digit": ("A1", "A\u0e51"),
    "zero of another script": ("AO", "A\u09e6"),
    "leading zero": ("Center 1", "Center 01"),
    "leading zeros without more": ("7", "007"),
    "umlaut written out": ("München", "Muenchen"),
    "o with a stroke written out": ("Tromsø", "Tromsoe"),
    "letter that is two": ("Cæsar", "Caesar"),
    "and": ("A & B", "A and B"),
    "capital i, small l": ("Ial", "lal"),
    "bars": ("Hall", "Ha||"),
    "symbol": ("US", "U$"),
    "multiplication sign": ("AxB", "A×B"),
    "heavy plus": ("HER2+", "HER2\u2795"),
    "letters in frames": ("DE", "\U0001f1e9\U0001f1ea"),
    "click": ("Lyon!", "Lyon\u01c3"),
    "Arabic vowel signs": ("\u0639\u0644\u064a", "\u0639\u064e\u0644\u064a"),
    "Persian yeh": ("\u0639\u0644\u064a", "\u0639\u0644\u06cc"),
    "Persian kaf": ("\u0643\u062a", "\u06a9\u062a"),
    "Arabic hamza": ("\u0627\u0644", "\u0623\u0644"),
    "Hebrew points": ("\u05e9\u05dc\u05d5\u05dd", "\u05e9\u05b8\u05dc\u05d5\u05dd"),
    "Arabic letter that is a stroke": ("Center l", "Center \u0627"),
    "Hangul letter that is a ring": ("Center O", "Center \u3147"),
    "Katakana and a Chinese character": ("ロ", "口"),
    "long vowel and the character for one": ("A一", "Aー"),
    "Hiragana and Katakana": ("へいわ", "ヘイワ"),
    "small Katakana": ("ツ", "ッ"),
    "Thai vowel twice": ("\u0e41", "\u0e40\u0e40"),
    "mark over itself": ("\u0e01\u0e49", "\u0e01\u0e49\u0e49"),
}
DISTINCT = [
    ("A-1", "A-11"),
    ("Center 1", "Center 2"),
    ("1-12", "11-2"),
    ("1.5", "15"),
    ("HER2+", "HER2-"),
    ("CD8+ T cell", "CD8- T cell"),
    ("<50", ">50"),
    ("T1a", "T1b"),
    ("tumor", "tumor margin"),
    ("MUSC_PROP", "MUSC"),
    ("北京", "東京"),
    ("か", "が"),
    ("कि", "की"),
    ("Москва", "Казань"),
    ("AT2", "AT3"),
    ("Asterand", "Christiana Healthcare"),
    ("I", "L"),
    ("AI", "AL"),
    ("A1", "AL"),
    ("1.05", "1.5"),
    ("10", "1"),
    ("Center 10", "Center 1"),
    ("5 \u00b5m", "10 \u00b5m"),
    ("カタ", "ガタ"),
    ("北京大学第一医院", "北京大学第三医院"),
    ("上海市第一人民医院", "上海市第十人民医院"),
    ("癌", "非癌"),
]
# One cohort each.
HONEST = {
    "letters": [chr(65 + letter) for letter in range(26)],
    "numbers": [str(number) for number in range(300)],
    "numbers with zeros": [f"Center_{number:03}" for number in range(200)],
    "letters and numbers": [f"{letter}{number}" for letter in "ABCDEFGH" for number in range(20)],
    "scanners": ["AT2", "GT450", "S60", "S210", "S360", "P250", "P1000", "VS120", "VS200", "DP200", "DP600"],
    "German": ["Universitätsklinikum Köln", "Klinikum rechts der Isar München", "Uniklinik Münster"],
    "French": ["Hôpital Saint-Louis", "Hôpital Saint-Antoine", "Hôtel-Dieu", "Pitié-Salpêtrière"],
    "Polish and Turkish": ["Łódź", "Kraków", "İstanbul Üniversitesi", "Ege Üniversitesi"],
    "Vietnamese": ["Bệnh viện K", "Bệnh viện Chợ Rẫy", "Bệnh viện Bạch Mai"],
    "Chinese": ["北京协和医院", "北京大学第一医院", "复旦大学附属中山医院", "第二军医大学", "第三军医大学"],
    "Japanese": [
        "東京大学医学部附属病院",
        "国立がん研究センター中央病院",
        "国立がん研究センター東病院",
        "A病院",
    ],
    "Korean": ["서울대학교병원", "서울아산병원", "삼성서울병원", "연세대학교 세브란스"],
    "Arabic": ["مستشفى الملك فيصل", "مستشفى الملك فهد", "مستشفى القاهرة"],
    "Hebrew": ["בית חולים הדסה", "שיבא תל השומר", "איכילוב"],
    "Greek": ["Γενικό Νοσοκομείο Αθηνών", "Γενικό Νοσοκομείο Θεσσαλονίκης", "ΑΧΕΠΑ"],
    "Russian": ["НМИЦ онкологии им. Н. Н. Блохина", "НМИЦ онкологии им. Н. Н. Петрова", "ЦКБ №1", "ЦКБ №2"],
    "Hindi": ["टाटा मेमोरियल अस्पताल", "एम्स दिल्ली", "एम्स भोपाल"],
    "Thai": ["โรงพยาบาลศิริราช", "โรงพยาบาลรามาธิบดี"],
    "markers": ["HER2+", "HER2-", "HER2 0", "HER2 1+", "HER2 2+", "TGFb", "TGFa", "α-SMA", "β-catenin"],
    "grades": ["G1", "G2", "Gleason 3+4", "Gleason 4+3", "stage I", "stage II", "stage III", "stage IV"],
    "signs": ["+", "-", "++", "±", "<5%", "5-10%", ">10%"],
}
ONE_SCRIPT = [
    "北京A院",
    "T細胞",
    "東京カップ",
    "コーヒー",
    "한국대",
    "Zürich",
    "Центр A",
    "naïve",
    "مستشفى",
    "NA",
    "1e5",
]


def refusal(*names: str, column: str = "medical_center", accepted: Sequence[str] = ()) -> str:
    """The message for a cohort with these names; "" where they are accepted."""
    read = Names(AcceptedNames("reviewed.txt", frozenset(accepted)))
    try:
        for line, name in enumerate(names, 2):
            read.label(f"line {line}", column, name)
        read.check()
    except CohortError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", REFUSED_ALONE.values(), ids=REFUSED_ALONE)
def test_a_name_with_what_a_reader_cannot_see_is_refused_with_its_code_points(name: str) -> None:
    message = refusal(name)
    assert_mentions(message, "line 2", "medical_center")
    assert "U+" in message or "control character" in message
    assert all(character.isprintable() for character in message)


@pytest.mark.parametrize("names", REFUSED_TOGETHER.values(), ids=REFUSED_TOGETHER)
@pytest.mark.parametrize("column", ["medical_center", "biological_class", "subset"])
def test_two_names_that_a_reader_takes_for_one_are_refused(names: tuple[str, str], column: str) -> None:
    assert refusal(names[0], column=column) == ""
    for order in (names, names[::-1]):
        message = refusal(*order, column=column)
        assert_mentions(message, "(line 2)", "(line 3)")
        assert "U+" in message or "upper and lower case" in message


@pytest.mark.parametrize("names", DISTINCT)
def test_names_that_differ_in_what_they_say_are_accepted(names: tuple[str, str]) -> None:
    assert refusal(*names) == ""


@pytest.mark.parametrize("names", HONEST.values(), ids=HONEST)
def test_a_cohort_with_usual_names_is_accepted(names: Sequence[str]) -> None:
    assert refusal(*names) == ""


@pytest.mark.parametrize("name", ONE_SCRIPT)
def test_scripts_that_are_written_together_are_one_word(name: str) -> None:
    assert mixed_word(name) is None
    assert refusal(name) == ""


def test_the_sentence_shows_how_the_names_differ() -> None:
    assert refusal("A-1", "A\u20131") == (
        "the medical centers 'A-1' (line 2) and 'A\u20131' (line 3) look like one name: the first has U+002D "
        "HYPHEN-MINUS and the second has U+2013 EN DASH; write them alike, choose more distinct names, or "
        "list both in a file for --fm-accept-names after a review."
    )
    assert_mentions(refusal("n\u043erth"), "different scripts", "U+043E CYRILLIC SMALL LETTER O")
    assert_mentions(refusal("U Hospital", "U  Hospital"), "the second has U+0020 SPACE")


@given(st.text(max_size=12))
def test_a_skeleton_is_that_of_the_name_in_every_case_and_encoding(text: str) -> None:
    import unicodedata

    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert skeleton(unicodedata.normalize(form, text)) == skeleton(text)


@given(st.text(st.characters(codec="ascii", categories=["Lu", "Ll", "Nd"]), max_size=12))
def test_case_does_not_change_a_skeleton(text: str) -> None:
    assert skeleton(text.upper()) == skeleton(text.lower()) == skeleton(text)


def test_a_name_in_a_rare_script_is_accepted_after_a_review() -> None:
    assert_mentions(refusal("\u2d54"), "a script that is rarely used", "U+2D54 TIFINAGH LETTER YAR")
    assert refusal("\u2d54", accepted=["\u2d54"]) == ""


def test_reviewed_names_are_accepted_and_noted() -> None:
    read = Names(AcceptedNames("reviewed.txt", frozenset({"TGF\u03b2", "A-1", "A1", "B"})))
    for name in ("TGF\u03b2", "A-1", "A1", "C"):
        read.label("line 2", "biological_class", name)
    read.check()
    (note,) = read.notes
    assert_mentions(note, "reviewed.txt", "'TGF\u03b2' (U+03B2 GREEK SMALL LETTER BETA)", "'A-1'", "'A1'")
    assert "'B'" not in note
    assert Names().notes == ()


def test_both_names_have_to_be_reviewed() -> None:
    assert_mentions(refusal("A-1", "A1", accepted=["A1"]), "look like one name")
    assert refusal("A-1", "A1", accepted=["A1", "A-1"]) == ""


def test_a_name_with_a_character_that_cannot_be_seen_is_refused_whoever_reviewed_it(tmp_path: Path) -> None:
    assert_mentions(refusal("north\u200b", accepted=["north\u200b"]), "U+200B ZERO WIDTH SPACE")
    path = tmp_path / "reviewed.txt"
    path.write_text("A\nnorth\u200b\n", encoding="utf-8")
    with pytest.raises(CohortError, match=r"name 2 of the list.*U\+200B"):
        read_accepted_names(path)


def test_a_reviewed_list_is_text_with_a_name_in_each_line(tmp_path: Path) -> None:
    path = tmp_path / "reviewed.txt"
    path.write_text("\ufeffA-1\n\n  K\u00f6ln\nKo\u0308ln\n", encoding="utf-8")
    assert read_accepted_names(path) == AcceptedNames("reviewed.txt", frozenset({"A-1", "K\u00f6ln"}))
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(CohortError, match="not UTF-8"):
        read_accepted_names(path)
    with pytest.raises(CohortError, match="does not exist"):
        read_accepted_names(tmp_path / "nowhere.txt")


def test_the_option_reaches_the_cohort(tmp_path: Path) -> None:
    patches = [p.but(medical_center={"A": "A-1", "B": "A1"}.get(p.medical_center, "C")) for p in twelve()]
    folder = write_manifest(tmp_path, patches)
    assert_mentions(problem(folder), "look like one name")
    sources = registry.CohortSources(
        metadata=None, cache=tmp_path, accepted_names=AcceptedNames("ok.txt", frozenset({"A-1", "A1"}))
    )
    assert "ok.txt" in registry.load_cohort(str(folder), sources).notes[0]


@pytest.mark.parametrize(
    ("slides", "refused"),
    [
        ([("s1", "A"), ("S1", "A")], True),
        ([("s1", "A"), ("S1", "B")], False),
        ([("s\u04301", "A"), ("sa1", "A")], True),
        ([("K\u00f6-1", "A"), ("Ko\u0308-1", "B")], True),
        ([("\uff53\uff11", "A"), ("s1", "B")], True),
        ([("S-1", "A"), ("S1", "A")], False),
        ([("TCGA-O1", "A"), ("TCGA-01", "A")], False),
    ],
)
def test_ids_of_slides_are_compared_in_case_and_encoding_only(
    slides: list[tuple[str, str]], refused: bool
) -> None:
    rows = [(slide, center, f"line {line}") for line, (slide, center) in enumerate(slides, 2)]
    if refused:
        with pytest.raises(CohortError, match="the slides"):
            check_ids("slides", rows)
    else:
        check_ids("slides", rows)


def test_two_encodings_of_a_patch_are_one_patch(tmp_path: Path) -> None:
    patches: list[Given] = twelve()
    patches[0] = patches[0].but(patch_id="\u00f6")
    patches[1] = patches[1].but(patch_id="o\u0308")
    assert_mentions(problem(write_manifest(tmp_path, patches)), "both describe")


def test_labels_are_normalized_and_ids_stay_as_written(tmp_path: Path) -> None:
    patches = [
        p.but(medical_center={"A": "Ko\u0308ln"}.get(p.medical_center, p.medical_center)) for p in twelve()
    ]
    patches[0] = patches[0].but(patch_id="o\u0308")
    cohort = load(write_manifest(tmp_path, patches))
    assert "K\u00f6ln" in set(cohort.patches.medical_center)
    assert cohort.patches.patch_id[0] == "o\u0308"
