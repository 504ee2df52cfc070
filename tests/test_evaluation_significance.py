"""Intervals and tests: known means, exact enumeration, SciPy as the outside check, Holm by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import permutation_test

from v2ht.evaluation import significance
from v2ht.evaluation.significance import bootstrap_interval, bootstrap_means, holm, sign_flip_test

values = st.lists(st.sampled_from([-0.5, -0.2, 0.0, 0.1, 0.2, 0.7]), min_size=1, max_size=8).map(np.array)


def test_the_interval_covers_a_known_mean_about_as_often_as_it_says():
    random = np.random.default_rng(1)
    covered = 0
    for seed in range(300):
        low, high = bootstrap_interval(random.exponential(2.0, size=80), seed=seed, samples=400)
        covered += low <= 2.0 <= high
    assert 265 <= covered <= 295  # 95 % would be 285; percentile intervals of a skewed mean are a little narrow


def test_the_interval_has_the_width_of_the_normal_one_on_many_values():
    sample = np.random.default_rng(2).normal(0.4, 0.2, size=2000)
    low, high = bootstrap_interval(sample, seed=0, samples=4000)
    error = sample.std() / np.sqrt(len(sample))
    assert low == pytest.approx(sample.mean() - 1.96 * error, abs=0.1 * error)
    assert high == pytest.approx(sample.mean() + 1.96 * error, abs=0.1 * error)
    narrow = bootstrap_interval(sample, seed=0, samples=4000, level=0.5)
    assert low < narrow[0] < narrow[1] < high


@given(values, st.integers(0, 5))
def test_the_interval_lies_between_the_extremes_and_is_the_same_for_the_same_seed(sample, seed):
    low, high = bootstrap_interval(sample, seed=seed, samples=50)
    assert sample.min() - 1e-12 <= low <= high <= sample.max() + 1e-12
    assert bootstrap_interval(sample, seed=seed, samples=50) == (low, high)


def test_columns_share_the_draws_and_equal_the_single_ones():
    table = np.random.default_rng(3).random((40, 3))
    means = bootstrap_means(table, seed=5, samples=30)
    assert means.shape == (30, 3)
    for column in range(3):
        assert means[:, column] == pytest.approx(bootstrap_means(table[:, column], seed=5, samples=30))
    assert sign_flip_test(table - 0.5, seed=5)[1] == sign_flip_test(table[:, 1] - 0.5, seed=5)


def test_blocks_bound_the_memory_and_change_nothing(monkeypatch):
    sample = np.random.default_rng(4).random(37)
    whole = bootstrap_means(sample, seed=1, samples=55)
    monkeypatch.setattr(significance, "BLOCK_CELLS", 37 * 9)
    assert bootstrap_means(sample, seed=1, samples=55) == pytest.approx(whole)
    monkeypatch.setattr(significance, "BLOCK_CELLS", 1)
    assert bootstrap_means(sample, seed=1, samples=55) == pytest.approx(whole)
    assert 0 < sign_flip_test(sample - 0.4, seed=1, samples=200) < 1


def test_sign_flip_by_hand():
    # Of the four patterns of (.3, .1), only ++ and -- are as far from 0 as the observed one.
    assert sign_flip_test(np.array([0.3, 0.1]), seed=0) == 0.5
    assert sign_flip_test(np.array([0.3, -0.1]), seed=0) == 1.0
    assert sign_flip_test(np.full(8, 0.1), seed=0) == 2 / 256
    assert sign_flip_test(np.zeros(30), seed=0) == 1.0


@given(values)
def test_sign_flip_equals_exact_enumeration(differences):
    sums = [float(np.dot(signs, differences)) for signs in itertools.product([-1, 1], repeat=len(differences))]
    as_far = [abs(value) >= abs(differences.sum()) - 1e-9 for value in sums]
    assert sign_flip_test(differences, seed=0) == pytest.approx(sum(as_far) / len(as_far))


def test_sign_flip_equals_scipy_exactly():
    differences = np.random.default_rng(6).normal(0.3, 0.5, size=11)
    expected = permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip_test(differences, seed=0) == pytest.approx(expected.pvalue)
    assert 0.001 < expected.pvalue < 0.9


@settings(max_examples=10)
@given(st.integers(0, 1000))
def test_random_patterns_come_near_the_exact_answer(seed):
    differences = np.random.default_rng(7).normal(0.2, 0.5, size=12)
    exact = sign_flip_test(differences, seed=seed, samples=4096)
    near = sign_flip_test(differences, seed=seed, samples=4095)
    assert near == pytest.approx(exact, abs=0.05)


def test_random_patterns_depend_on_the_seed_and_the_exact_answer_does_not():
    differences = np.random.default_rng(7).normal(0.2, 0.5, size=12)
    assert len({sign_flip_test(differences, seed=seed, samples=4096) for seed in range(10)}) == 1
    assert len({sign_flip_test(differences, seed=seed, samples=4095) for seed in range(10)}) > 1


def test_sign_flip_finds_a_difference_and_only_where_there_is_one():
    random = np.random.default_rng(8)
    assert sign_flip_test(random.normal(0.05, 0.2, size=1000), seed=0) < 0.001
    assert sign_flip_test(random.normal(0.05, 0.2, size=1000), seed=0) >= 1 / 10_001
    p = sign_flip_test(random.normal(0, 0.2, size=(200, 200)), seed=0, samples=1000)
    assert 0.01 <= (p < 0.05).mean() <= 0.11  # 5 % of tests without a difference


def test_holm_by_hand():
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.2])) == pytest.approx([0.2])
    assert holm(np.array([0.9, 0.8])) == pytest.approx([1.0, 1.0])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8).map(np.array))
def test_holm_lies_between_the_raw_value_and_bonferroni(p_values):
    adjusted = holm(p_values)
    assert (adjusted >= p_values).all()
    assert (adjusted <= np.minimum(1, p_values * len(p_values)) + 1e-12).all()
    order = np.argsort(p_values)
    assert (np.diff(adjusted[order]) >= 0).all()


def test_what_cannot_be_tested_is_refused():
    with pytest.raises(ValueError, match=r"no video to draw from"):
        bootstrap_interval(np.empty(0), seed=0)
    with pytest.raises(ValueError, match=r"not finite"):
        sign_flip_test(np.array([0.1, np.nan]), seed=0)
    with pytest.raises(ValueError, match=r"level is 95, expected a number between 0 and 1"):
        bootstrap_interval(np.ones(3), seed=0, level=95)
    with pytest.raises(ValueError, match=r"samples is 0"):
        bootstrap_means(np.ones(3), seed=0, samples=0)
