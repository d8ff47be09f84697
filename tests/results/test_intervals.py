"""Cluster-robust intervals against a regression library, published quantiles and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from unsee.results.statistics.intervals import Interval, bootstrap_t_interval, clustered_interval


def test_by_hand() -> None:
    # Mean 3. Deviations by person: (-2, 0), (1), (1); sums -2, 1, 1; G = 3, n = 4.
    # Standard error: sqrt(3 / 2 * (4 + 1 + 1)) / 4 = 3 / 4. The 97.5 % point of t with 2 degrees is 4.302653.
    interval = clustered_interval(np.array([1.0, 3.0, 4.0, 4.0]), np.array(["a", "a", "b", "c"]))
    assert interval.mean == 3.0
    assert interval.standard_error == pytest.approx(0.75)
    assert interval.n_clusters == 3
    assert (interval.low, interval.high) == pytest.approx((3 - 0.75 * 4.302653, 3 + 0.75 * 4.302653), abs=1e-6)


def test_the_detectable_difference_by_hand() -> None:
    """The 97.5 % and 80 % points of t: with 2 degrees of freedom 4.302653 and 1.060660, with 1 degree 12.706205 and 1.376382."""
    three = clustered_interval(np.array([1.0, 3.0, 4.0, 4.0]), np.array(["a", "a", "b", "c"]))
    assert three.detectable() == pytest.approx(0.75 * (4.302653 + 1.060660), abs=1e-6), "standard error 3 / 4, as above"
    # Values 0 and 1: deviations -1/2 and 1/2, standard error sqrt(2 / 1 * (1/4 + 1/4)) / 2 = 1 / 2.
    two = clustered_interval(np.array([0.0, 1.0]), np.array([0, 1]))
    assert two.detectable() == pytest.approx(0.5 * (12.706205 + 1.376382), abs=1e-6)
    # At a level of 10 %, 6.313752; a power of 50 % has the point 0.
    assert two.detectable(power=0.5, level=0.1) == pytest.approx(0.5 * 6.313752, abs=1e-6)


def test_without_spread_no_detectable_difference_is_known() -> None:
    assert math.isnan(clustered_interval(np.ones(4), np.arange(4)).detectable())
    assert math.isnan(clustered_interval(np.array([0.0, 1.0]), np.zeros(2)).detectable()), "one person"


def test_a_detectable_difference_is_shown_80_times_in_100() -> None:
    """The exact power, from the noncentral t distribution: below 0.8 where people are very few."""
    for degrees, power in ((1, 0.73), (4, 0.79), (14, 0.80)):
        mean = Interval(0.0, 0.0, 0.0, 1.0, degrees + 1, degrees).detectable()
        critical = stats.t.ppf(0.975, degrees)
        shown = stats.nct.sf(critical, degrees, mean) + stats.nct.cdf(-critical, degrees, mean)
        assert shown == pytest.approx(power, abs=0.005)


def test_each_value_its_own_person_is_the_plain_t_interval() -> None:
    values = np.random.default_rng(0).normal(size=30)
    interval = clustered_interval(values, np.arange(30), confidence=0.9)
    assert interval.standard_error == pytest.approx(values.std(ddof=1) / math.sqrt(30))
    assert interval.high - interval.mean == pytest.approx(1.699127 * interval.standard_error, rel=1e-6), "t(0.95, 29)"


@pytest.mark.parametrize("seed", range(5))
def test_equals_a_regression_on_a_constant(seed: int) -> None:
    regression = pytest.importorskip("statsmodels.regression.linear_model")
    draw = np.random.default_rng(seed)
    clusters = draw.integers(0, draw.integers(2, 40), size=200)
    values = draw.normal(size=200) + draw.normal(size=40)[clusters]
    fitted = regression.OLS(values, np.ones((200, 1))).fit(
        cov_type="cluster", cov_kwds={"groups": clusters}, use_t=True
    )
    for confidence in (0.95, 0.8):
        interval = clustered_interval(values, clusters, confidence)
        assert interval.mean == pytest.approx(fitted.params[0])
        assert interval.standard_error == pytest.approx(fitted.bse[0])
        assert (interval.low, interval.high) == pytest.approx(tuple(fitted.conf_int(1 - confidence)[0]))


@pytest.mark.parametrize("kind", ["binary", "normal"])
def test_covers_what_it_says(kind: str) -> None:
    """25 people, 18 questions each, intraclass correlation 0.3."""
    repetitions, people, questions, correlation, truth = 4000, 25, 18, 0.3, 0.45
    draw = np.random.default_rng(7)
    if kind == "binary":
        spread = 1 / correlation - 1
        ability = draw.beta(truth * spread, (1 - truth) * spread, size=(repetitions, people, 1))
        values = (draw.random((repetitions, people, questions)) < ability).astype(float)
    else:
        shared = draw.normal(size=(repetitions, people, 1)) * math.sqrt(correlation)
        noise = draw.normal(size=(repetitions, people, questions)) * math.sqrt(1 - correlation)
        values = truth + shared + noise
    clusters = np.repeat(np.arange(people), questions)
    intervals = [clustered_interval(row, clusters) for row in values.reshape(repetitions, -1)]
    covered = np.mean([interval.low <= truth <= interval.high for interval in intervals])
    assert 0.93 < covered < 0.97
    unaware = [clustered_interval(row, np.arange(row.size)) for row in values[:500].reshape(500, -1)]
    assert np.mean([interval.low <= truth <= interval.high for interval in unaware]) < 0.7, "why people matter"


@pytest.mark.parametrize("seed", range(5))
def test_people_and_seeds_together_equal_two_way_clustering(seed: int) -> None:
    regression = pytest.importorskip("statsmodels.regression.linear_model")
    draw = np.random.default_rng(seed)
    people, seeds = np.repeat(np.arange(12), 15), np.tile(np.arange(3), 60)
    values = draw.normal(size=180) + draw.normal(size=12)[people] + 4 * draw.normal(size=3)[seeds]
    fitted = regression.OLS(values, np.ones((180, 1))).fit(
        cov_type="cluster", cov_kwds={"groups": np.column_stack([people, seeds])}
    )
    interval = clustered_interval(values, people, seeds=seeds)
    assert interval.standard_error == pytest.approx(fitted.bse[0])
    assert 2 < interval.degrees < 13
    assert clustered_interval(values, people, seeds=np.zeros(180)) == clustered_interval(values, people)


def test_seeds_that_do_not_matter_add_nothing() -> None:
    draw = np.random.default_rng(0)
    once, people = draw.normal(size=60), np.repeat(np.arange(12), 5)
    interval = clustered_interval(np.tile(once, 3), np.tile(people, 3), seeds=np.repeat(np.arange(3), 60))
    assert (interval.low, interval.high) == pytest.approx((lambda i: (i.low, i.high))(clustered_interval(once, people)))


@pytest.mark.parametrize("between_seeds", [0.0, 0.3, 1.0])
def test_covers_what_it_says_over_seeds(between_seeds: float) -> None:
    """25 people, 6 questions each, 3 seeds; an interval that ignores seeds is too narrow where they differ."""
    repetitions, people, questions, seeds = 2000, 25, 6, 3
    draw = np.random.default_rng(11)
    shape = (repetitions, people, seeds, questions)
    values = (
        draw.normal(size=(repetitions, people, 1, 1)) * 0.5
        + draw.normal(size=(repetitions, 1, seeds, 1)) * between_seeds
        + draw.normal(size=shape)
    ).reshape(repetitions, -1)
    person = np.repeat(np.arange(people), seeds * questions)
    seed = np.tile(np.repeat(np.arange(seeds), questions), people)
    intervals = [clustered_interval(row, person, seeds=seed) for row in values]
    # Three seeds: where they differ a little, their variance is hardly seen; elsewhere it covers 95 %.
    assert np.mean([i.low <= 0 <= i.high for i in intervals]) > (0.9 if between_seeds else 0.93)
    if between_seeds == 1.0:
        unaware = [clustered_interval(row, person) for row in values[:500]]
        assert np.mean([i.low <= 0 <= i.high for i in unaware]) < 0.6, "why seeds matter"


def test_p_values_equal_the_t_test() -> None:
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(1).normal(0.4, size=20)
    assert clustered_interval(values, np.arange(20)).p_value == pytest.approx(stats.ttest_1samp(values, 0).pvalue)


def test_p_values_without_spread() -> None:
    people = np.array([0, 0, 1, 2, 3])
    assert clustered_interval(np.zeros(5), people).p_value == 1.0
    assert clustered_interval(np.full(5, -1.0), people).p_value == 2 / 2**4, "four people, all down"
    assert math.isnan(clustered_interval(np.ones(2), np.zeros(2)).p_value)


def test_bootstrap_t_equals_a_plain_recomputation() -> None:
    """With one value for each person, t of each resample follows from the plain formula."""
    values = np.random.default_rng(2).exponential(size=15)
    interval = bootstrap_t_interval(values, np.arange(15), resamples=999, seed=5)
    samples = values[np.random.default_rng(5).integers(15, size=(999, 15))]
    t = (samples.mean(axis=1) - values.mean()) / (samples.std(axis=1, ddof=1) / math.sqrt(15))
    error = values.std(ddof=1) / math.sqrt(15)
    assert interval.low == pytest.approx(values.mean() - np.quantile(t, 0.975) * error)
    assert interval.high == pytest.approx(values.mean() - np.quantile(t, 0.025) * error)
    assert interval.high - interval.mean > interval.mean - interval.low, "skewed as the values are"
    assert bootstrap_t_interval(values, np.arange(15), resamples=999, seed=5) == interval


def test_bootstrap_t_covers_what_it_says() -> None:
    repetitions, people, questions = 1000, 25, 18
    draw = np.random.default_rng(8)
    spread = 1 / 0.3 - 1
    ability = draw.beta(0.45 * spread, 0.55 * spread, size=(repetitions, people, 1))
    values = (draw.random((repetitions, people, questions)) < ability).astype(float).reshape(repetitions, -1)
    clusters = np.repeat(np.arange(people), questions)
    intervals = [bootstrap_t_interval(row, clusters, resamples=499) for row in values]
    assert 0.93 < np.mean([i.low <= 0.45 <= i.high for i in intervals]) < 0.97


def test_bootstrap_t_without_spread_is_the_plain_one() -> None:
    for values in (np.ones(4), np.array([1.0, 2.0])):
        clusters = np.arange(4) if len(values) == 4 else np.zeros(2)
        interval = bootstrap_t_interval(values, clusters)
        assert (interval.mean, interval.n_clusters) == (values.mean(), len(set(clusters)))


def test_one_person_says_nothing_about_others() -> None:
    interval = clustered_interval(np.array([0.0, 1.0]), np.array(["a", "a"]))
    assert (interval.mean, interval.n_clusters) == (0.5, 1)
    assert math.isnan(interval.low) and math.isnan(interval.high) and math.isnan(interval.standard_error)


@pytest.mark.parametrize("value", [0.0, 100.0, 0.1])
def test_equal_values_have_no_width(value: float) -> None:
    interval = clustered_interval(np.full(7, value), np.array([0, 0, 0, 1, 1, 2, 3]))
    assert interval == Interval(value, value, value, 0.0, 4, 3.0)


def test_order_and_names_of_people_do_not_matter() -> None:
    draw = np.random.default_rng(3)
    values, clusters = draw.random(60), draw.integers(0, 9, size=60)
    order = draw.permutation(60)
    first = clustered_interval(values, clusters)
    other = clustered_interval(values[order], np.array([f"person {9 - i}" for i in clusters[order]]))
    assert (other.low, other.high) == pytest.approx((first.low, first.high), rel=1e-12)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="0 values and 0 clusters; expected"):
        clustered_interval(np.array([]), np.array([]))
    with pytest.raises(ValueError, match="2 values and 1 clusters; expected a cluster for each"):
        clustered_interval(np.array([1.0, 2.0]), np.array([1]))
    with pytest.raises(ValueError, match="confidence is 95"):
        clustered_interval(np.array([1.0, 2.0]), np.array([1, 2]), confidence=95)


def test_people_with_equal_sums_have_no_spread_whatever_the_last_bits() -> None:
    """0.1 + 0.2 and 0.3 differ in the last bit, so that t would be enormous; two people show nothing by the sign test."""
    interval = clustered_interval(np.array([0.1, 0.2, 0.3, 0.0]), np.array([0, 0, 1, 1]))
    assert (interval.mean, interval.standard_error, interval.p_value) == (pytest.approx(0.15), 0, 0.5)
    nothing = clustered_interval(np.array([0.1, 0.2, -0.3, 0.3, -0.2, -0.1]), np.array([0, 0, 0, 1, 1, 1]))
    assert (nothing.mean, nothing.p_value) == (0, 1)
