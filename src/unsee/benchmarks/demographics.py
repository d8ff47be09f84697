"""Country, region, year of birth and employment of a person, derived from the published biographies.

A biography is a JSON object whose keys differ from person to person (``Born`` or ``Date of Birth``, with and without a colon), and
whose values are texts, lists or objects. Dates and places are texts such as ``March 15, 1980`` and ``Houston, Texas, USA``.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from typing import Any

import pycountry

from unsee.core.text import comparable

_BORN = ("born", "date of birth", "birth date", "birthdate", "birthday", "birth year", "year of birth", "dob")
_BIRTHPLACE = ("birthplace", "place of birth", "birth place", "born in")
_RESIDENCE = ("residence", "current residence", "place of residence", "lives in", "location")
_COUNTRY = ("country", "country of residence", "nationality", "citizenship")
_REGION = ("region", "state", "province")
_EMPLOYMENT = ("employment", "occupation", "profession", "job", "current employment", "career")

#: Everyday names that pycountry does not have.
_ALIASES = {
    "usa": "US", "u.s.a.": "US", "us": "US", "u.s.": "US", "united states of america": "US", "america": "US",
    "uk": "GB", "u.k.": "GB", "great britain": "GB", "england": "GB", "scotland": "GB", "wales": "GB", "northern ireland": "GB",
    "uae": "AE", "south korea": "KR", "north korea": "KP", "russia": "RU", "turkey": "TR", "czech republic": "CZ",
    "ivory coast": "CI", "the netherlands": "NL", "holland": "NL", "the bahamas": "BS", "the gambia": "GM", "palestine": "PS",
    "macau": "MO", "swaziland": "SZ", "cape verde": "CV", "burma": "MM", "brunei": "BN", "east timor": "TL", "kosovo": "XK",
    "democratic republic of the congo": "CD", "republic of the congo": "CG", "vatican city": "VA",
}  # fmt: skip


def country(biography: Mapping[str, Any]) -> str | None:
    """The two-letter code of the country, or its text if the name is unknown; from its key, the residence or the birthplace."""
    text = _value(biography, _COUNTRY)
    return _code(text) or _country_of_places(biography) or (comparable(text) if text else None)


def region(biography: Mapping[str, Any]) -> str | None:
    """The region: from its key, or the part before the country in the residence or the birthplace."""
    if text := _value(biography, _REGION):
        return comparable(text)
    within = _code(_value(biography, _COUNTRY))
    for place in _places(biography):
        parts = _parts(place)
        # The last part is the country, unless the key for the country names another one.
        if parts and (code := _code(parts[-1])) and within in (None, code):
            parts = parts[:-1]
        if parts:
            return comparable(_state(parts[-1]) or parts[-1])
    return None


def birth_year(biography: Mapping[str, Any]) -> str | None:
    """The year of birth: the four digits of a date in any order."""
    year = re.search(r"(?<!\d)(1\d{3}|20\d{2})(?!\d)", _value(biography, _BORN) or "")
    return year[1] if year else None


def employment(biography: Mapping[str, Any]) -> str | None:
    """The job without its place: ``Marine biologist at Oceanic Institute`` is a marine biologist."""
    text = _value(biography, _EMPLOYMENT)
    job = re.split(r"\s+(?:at|for|with|in)\s+|[,;(]", comparable(text), maxsplit=1)[0] if text else ""
    return job.strip() or None


def _value(biography: Mapping[str, Any], keys: tuple[str, ...]) -> str | None:
    """The text of the first of the keys that a biography has, regardless of case, colons and underscores."""
    by_key = {comparable(key.replace("_", " ")).rstrip(": "): value for key, value in biography.items()}
    return next((text for key in keys if (text := _text(by_key.get(key)))), None)


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        return ", ".join(text for item in value if (text := _text(item)))
    return "" if value is None else str(value).strip()


def _places(biography: Mapping[str, Any]) -> list[str]:
    """The residence, the birthplace, and the parts without digits of a date of birth that contains a place."""
    born = [part for part in _parts(_value(biography, _BORN) or "") if not re.search(r"\d", part)]
    texts = [_value(biography, _RESIDENCE), _value(biography, _BIRTHPLACE), ", ".join(born)]
    return [text for text in texts if text]


def _parts(place: str) -> list[str]:
    place = re.sub(r"\(.*?\)", "", place)
    parts = [re.sub(r"^(?:in|at)\s+", "", part.strip(" ."), flags=re.IGNORECASE) for part in re.split(r"[,;]", place)]
    return [part for part in parts if part]


def _country_of_places(biography: Mapping[str, Any]) -> str | None:
    for place in _places(biography):
        last = (_parts(place) or [""])[-1]
        if code := _code(last) or _country_of_region(last):
            return code
    return None


def _code(name: str | None) -> str | None:
    """The two letters of a country's name."""
    return _countries().get(comparable(name).rstrip(".")) or _countries().get(comparable(name)) if name else None


def _country_of_region(name: str) -> str | None:
    """The country of a region's name or of the two letters of one of the United States; None if several countries have the region."""
    if re.fullmatch("[A-Z]{2}", name):
        return "US" if _state(name) else None
    codes = _regions().get(comparable(name), set())
    return min(codes) if len(codes) == 1 else "US" if "US" in codes else None


def _state(letters: str) -> str | None:
    """The name of one of the United States by its two letters."""
    subdivisions: Any = pycountry.subdivisions
    entry = subdivisions.get(code=f"US-{letters}") if re.fullmatch("[A-Z]{2}", letters) else None
    return str(entry.name) if entry else None


@cache
def _countries() -> dict[str, str]:
    names = {
        comparable(name): entry.alpha_2
        for entry in pycountry.countries
        for key in ("name", "common_name", "official_name")
        if (name := getattr(entry, key, None))
    }
    return names | _ALIASES


@cache
def _regions() -> dict[str, set[str]]:
    regions: dict[str, set[str]] = defaultdict(set)
    for entry in pycountry.subdivisions:
        regions[comparable(entry.name)].add(entry.country_code)
    return regions
