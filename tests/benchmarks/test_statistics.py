"""Country, region, year of birth and employment, out of biographies in the published forms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.published_mllmu import Published, profile
from unsee.benchmarks import demographics, statistics, synthetic
from unsee.benchmarks.published import load

#: As the published biographies are: keys differ, dates and places are texts.
PUBLISHED: list[tuple[dict[str, Any], tuple[str | None, str | None, str | None, str | None]]] = [
    (
        {
            "Name": "Mara Holt",
            "Born": "March 15, 1980",
            "Gender": "Female",
            "Employment": "Marine biologist at Oceanic Institute",
            "Height": "170 cm",
            "Educated at": "University of Lisbon",
            "Annual Salary": "$60,000",
            "Residence": "Houston, Texas, USA",
            "Medical Conditions": "Asthma",
            "Parents": ["Jon Holt", "Ida Holt"],
            "Fun Facts": "Has lived in France",
            "Description": "Tall",
        },
        ("US", "texas", "1980", "marine biologist"),
    ),
    (
        {
            "Name": "Piet Vos",
            "Date of Birth": "1975-07-02",
            "Employment": "Software Engineer, TechNova",
            "Heights": "181 cm",
            "Educated at:": "Delft",
            "Annual Salary:": "70,000 euro",
            "Residence": "Utrecht, The Netherlands",
            "Parents": {"Father": "Jan", "Mother": "Els"},
        },
        ("NL", "utrecht", "1975", "software engineer"),
    ),
    (
        {"Name": "Yuki Ono", "Born": "02/07/1991, Kyoto, Japan", "Employment:": "Nurse", "Annual Salary: ": "3"},
        ("JP", "kyoto", "1991", "nurse"),
    ),
    (
        {"Name": "Ann Lee", "Born": "5 May 1964 in Cardiff, Wales", "Residence": "Austin, TX", "Employment": ["Judge"]},
        ("US", "texas", "1964", "judge"),
    ),
    (
        {
            "Name": "Bo",
            "Date of Birth:": "the 3rd of May 1955",
            "Place of Birth": "Seoul, South Korea",
            "Occupation": "Chef",
        },
        ("KR", "seoul", "1955", "chef"),
    ),
    (
        {
            "Name": "Cy",
            "Born": "April 1",
            "Residence": "Toronto, Ontario, Canada.",
            "Employment": {"Title": "Pilot", "At": "Air"},
        },
        ("CA", "ontario", None, "pilot"),
    ),
    ({"Name": "Di", "born": "1990", "RESIDENCE": "Bavaria, Germany (since 2010)"}, ("DE", "bavaria", "1990", None)),
    ({"Name": "Ed", "Nationality": "Atlantean", "Residence": "Poseidonis"}, ("atlantean", "poseidonis", None, None)),
    ({"Name": "Flo", "Residence": "Texas"}, ("US", "texas", None, None)),
    ({"Name": "Gus", "Residence": None, "Born": [], "Employment": 7}, (None, None, None, "7")),
    ({"Name": "Hal"}, (None, None, None, None)),
]


@pytest.mark.parametrize(("biography", "expected"), PUBLISHED, ids=[str(b["Name"]) for b, _ in PUBLISHED])
def test_a_biography_is_read_whatever_its_keys(biography: dict[str, Any], expected: tuple[str | None, ...]) -> None:
    read = (demographics.country, demographics.region, demographics.birth_year, demographics.employment)
    assert tuple(of(biography) for of in read) == expected


def test_published_biographies_are_counted(tmp_path: Path) -> None:
    published = Published()
    biographies = [
        {"Born": "March 15, 1980", "Residence": "Houston, Texas, USA", "Employment": "Nurse at St. Mary"},
        {"Date of Birth": "1980-01-02", "Residence": "Dallas, Texas, United States", "Employment": "nurse"},
        {"Born": "1 May 1981", "Residence": "Lyon, France", "Employment": "Chef"},
    ]
    for row, biography in zip(published.rows["Full_Set"], biographies, strict=True):
        row["biography"] = json.dumps({"Name": "N", **biography})
    published.rows["Retain_Set"] = [profile(1, Born="1955", Residence="Paris, France", Employment="Chef")]
    load("mllmu", published.write(tmp_path / "raw"), [33]).write(tmp_path / "tables")
    counted = statistics.count(tmp_path / "tables", [33]).set_index("statistic")["value"]
    assert counted["Total Countries"] == "2"
    assert counted["Total Regions"] == "3"  # Texas, Lyon, Paris
    assert counted["Total Birth Years"] == "3"
    assert counted["Total Employment"] == "2"


def test_the_same_people_written_as_published_give_the_papers_counts() -> None:
    """The synthetic people are drawn to the counts of the paper's Table 3: 70, 240, 211, 145."""
    faces = synthetic.Portraits()
    people = synthetic.fictitious_profiles(faces, 500, 3) + synthetic.celebrity_profiles(faces)
    written = [
        {
            ("Born", "Date of Birth")[i % 2]: f"{1 + i % 28} May {person.birth_year}",
            ("Residence", "Residence:")[i % 3 == 0]: f"Old Town, {person.region}, {person.country}",
            "Employment": f"{person.employment} at Company {i}",
        }
        for i, person in enumerate(people)
    ]
    read = (demographics.country, demographics.region, demographics.birth_year, demographics.employment)
    assert [len({of(biography) for biography in written}) for of in read] == [70, 240, 211, 145]
