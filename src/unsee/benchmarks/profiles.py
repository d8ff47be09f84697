"""Draw fictitious people: names and facts from the pools of faker and pycountry, with a seed for each person and fact."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

import pycountry
from faker.providers.job.en_US import Provider as JobProvider
from faker.providers.person.en_US import Provider as PersonProvider

from unsee.benchmarks.schema import BenchmarkError

#: Entries of the job list that are not jobs.
_NO_JOBS = {"Best boy", "Copy", "Land", "Make", "Contractor", "Dealer"}

FIELDS = (
    "Physics", "Chemistry", "Biology", "History", "Music", "Law", "Medicine", "Geology", "Botany", "Zoology",
    "Philosophy", "Economics", "Theology", "Astronomy", "Architecture", "Statistics", "Mathematics", "Literature",
    "Linguistics", "Psychology", "Sociology", "Geography", "Archaeology", "Anthropology", "Nursing", "Pharmacy",
    "Dentistry", "Forestry", "Agriculture", "Journalism", "Accounting", "Marketing", "Theatre", "Dance", "Sculpture",
    "Painting", "Robotics", "Optics", "Ecology", "Genetics",
)  # fmt: skip
HOBBIES = (
    "Chess", "Sailing", "Knitting", "Fishing", "Cycling", "Hiking", "Baking", "Pottery", "Juggling", "Archery",
    "Fencing", "Surfing", "Skiing", "Rowing", "Running", "Swimming", "Boxing", "Judo", "Yoga", "Golf", "Tennis",
    "Origami", "Calligraphy", "Beekeeping", "Birdwatching", "Stargazing", "Camping", "Climbing", "Diving", "Kayaking",
    "Sewing", "Quilting", "Weaving", "Woodcarving", "Singing", "Drumming", "Gardening", "Cooking", "Reading", "Bowling",
)  # fmt: skip
BIRTH_YEARS = tuple(str(year) for year in range(1795, 2006))

N_COUNTRIES, N_REGIONS, N_JOBS = 70, 240, 145
_N_FIRST, _N_LAST, _N_BYSTANDER_LAST = 120, 260, 40


@dataclass(frozen=True)
class Profile:
    """One person: a name, the portrait that shows them, and a value for every attribute."""

    name: str
    gender: str
    identity: int
    birth_year: str
    country: str
    region: str
    employment: str
    education: str
    hobby: str

    def biography(self) -> dict[str, str]:
        """The attributes under the published biographies' keys."""
        return {
            "Name": self.name,
            "Gender": self.gender,
            "Born": self.birth_year,
            "Country": self.country,
            "Residence": self.region,
            "Employment": self.employment,
            "Educated in": self.education,
            "Fun Facts": self.hobby,
        }


def _thin(values: Sequence[str], n: int) -> tuple[str, ...]:
    """``n`` of the values, evenly spaced over the alphabet."""
    return tuple(values[i * len(values) // n] for i in range(n))


@cache
def names(kind: str) -> tuple[str, ...]:
    """The name pool ``female``, ``male`` (first names), ``last`` or ``bystander`` (last names, disjoint from ``last``)."""
    word = re.compile(r"[A-Z][a-z]{2,7}")
    if kind in ("female", "male"):
        pool = getattr(PersonProvider, f"first_names_{kind}")
        other = set(getattr(PersonProvider, f"first_names_{'male' if kind == 'female' else 'female'}"))
        return _thin(sorted(name for name in set(pool) - other if word.fullmatch(name)), _N_FIRST)
    first = set(PersonProvider.first_names_female) | set(PersonProvider.first_names_male)
    last = _thin(
        sorted(name for name in set(PersonProvider.last_names) - first if word.fullmatch(name)),
        _N_LAST + _N_BYSTANDER_LAST,
    )
    bystander = set(_thin(last, _N_BYSTANDER_LAST))
    return tuple(name for name in last if (name in bystander) == (kind == "bystander"))


@cache
def employments() -> tuple[str, ...]:
    """145 jobs of one or two words."""
    jobs = {j for j in JobProvider.jobs if re.fullmatch(r"[A-Z][a-z]+( [a-z]+)?", j) and len(j) < 24}
    return _thin(sorted(jobs - _NO_JOBS), N_JOBS)


@cache
def regions() -> tuple[tuple[str, str], ...]:
    """240 (country, region) pairs of 70 countries; every region and country is one word, no region twice."""
    word = re.compile(r"[A-Z][a-z]{3,9}")
    subdivisions: Any = pycountry.subdivisions
    by_country: dict[str, list[str]] = {}
    seen: set[str] = set()
    for country in sorted(pycountry.countries, key=lambda c: c.name):
        if not re.fullmatch(r"[A-Z][a-z]+", country.name):
            continue
        names = {s.name for s in subdivisions.get(country_code=country.alpha_2) or []}
        fresh = sorted(name for name in names - seen - {country.name} if word.fullmatch(name))
        if len(fresh) >= 4:
            by_country[country.name] = fresh[:4]
            seen.update(fresh[:4])
    countries = _thin(sorted(by_country), N_COUNTRIES)
    three = [(country, region) for country in countries for region in by_country[country][:3]]
    fourth = [(country, by_country[country][3]) for country in countries]
    return tuple(sorted(three + fourth[: N_REGIONS - len(three)]))


def _cycle(pool: Sequence[Any], n: int, seed: str) -> list[Any]:
    """``n`` draws that use every value equally often, in an order given by the seed."""
    draws: list[Any] = []
    while len(draws) < n:
        turn = list(pool)
        Random(f"{seed}:{len(draws)}").shuffle(turn)
        draws += turn
    return draws[:n]


def people(
    identities: Sequence[tuple[int, str]], seed: str, *, taken: set[str] | None = None, last_names: str = "last"
) -> list[Profile]:
    """Draw profiles for portraits.

    A person's facts depend on the seed and the person's position in the list, and not on the number of people after it.

    Args:
        identities: (portrait identity, gender) of each person.
        seed: the seed of names and facts.
        taken: names that may not be used.
        last_names: the pool of last names, ``last`` or ``bystander``.

    Raises:
        BenchmarkError: more people than names.
    """
    n = len(identities)
    used = set(taken or ())
    facts = {
        "birth_year": _cycle(BIRTH_YEARS, n, f"{seed}:birth_year"),
        "employment": _cycle(employments(), n, f"{seed}:employment"),
        "education": _cycle(FIELDS, n, f"{seed}:education"),
        "hobby": _cycle(HOBBIES, n, f"{seed}:hobby"),
    }
    places = _cycle(regions(), n, f"{seed}:place")
    profiles = []
    for i, (identity, gender) in enumerate(identities):
        random = Random(f"{seed}:name:{i}")
        for _ in range(1000):
            name = f"{random.choice(names(gender))} {random.choice(names(last_names))}"
            if name not in used:
                break
        else:
            raise BenchmarkError(f"{n} people asked for; the name pools give too few different names")
        used.add(name)
        country, region = places[i]
        profiles.append(
            Profile(
                name=name,
                gender=gender,
                identity=identity,
                country=country,
                region=region,
                birth_year=str(facts["birth_year"][i]),
                employment=str(facts["employment"][i]),
                education=str(facts["education"][i]),
                hobby=str(facts["hobby"][i]),
            )
        )
    return profiles
