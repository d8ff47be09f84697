"""Values that differ between ratios, and the combinations of a grid."""

from __future__ import annotations

from unsee.jobs import values

SETTINGS = {"learning_rate": {5: 0.1, 10: 0.2, "other": 0.3}, "steps": 7, "lora": {"rank": 8}, "beta": "tuned"}


def test_each_ratio_has_its_own_value_or_the_others() -> None:
    for percent, rate in ((5, 0.1), (10, 0.2), (15, 0.3)):
        assert values.at(SETTINGS, percent) == {**SETTINGS, "learning_rate": rate}


def test_a_section_of_settings_is_no_value_by_ratio() -> None:
    assert not any(map(values.is_by_ratio, ({"rank": 8}, {}, 8, "tuned", {5: {"rank": 8}})))
    assert all(map(values.is_by_ratio, ({5: 1}, {"other": None})))


def test_a_ratio_without_a_value_is_named() -> None:
    settings = {"learning_rate": {5: 0.1}, "steps": {"other": 3}, "epochs": None}
    assert list(values.without_value(settings, [5, 10, 15])) == [("learning_rate", 10), ("learning_rate", 15)]


def test_only_the_values_of_the_ratios_in_use_are_shown() -> None:
    shown = values.for_ratios(SETTINGS, [15, 5])
    assert shown == {**SETTINGS, "learning_rate": {5: 0.1, 15: 0.3}}


def test_a_grid_is_tried_value_by_value_under_names_that_stay() -> None:
    trials = values.trials({"learning_rate": [0.1, 1e-5], "beta": [True, "a"]})
    assert list(trials.values()) == [
        {"learning_rate": 0.1, "beta": True},
        {"learning_rate": 0.1, "beta": "a"},
        {"learning_rate": 1e-5, "beta": True},
        {"learning_rate": 1e-5, "beta": "a"},
    ]
    assert list(trials)[1] == "learning_rate-0.1-beta-a"
    wider = values.trials({"learning_rate": [0.1, 0.2, 1e-5], "beta": [True, "a"]})
    assert all(wider[name] == trial for name, trial in trials.items())


def test_a_name_is_one_of_a_file() -> None:
    assert list(values.trials({"layers": [[1, 2]], "kind": ["a/b c"]})) == ["layers-_1__2_-kind-a_b_c"]


def test_nothing_to_vary_is_one_trial() -> None:
    assert values.trials({}) == {"as-set": {}}


def test_what_is_tuned() -> None:
    assert values.tuned_keys(SETTINGS) == ["beta"]
