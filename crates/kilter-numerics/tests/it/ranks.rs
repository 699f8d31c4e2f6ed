use kilter_numerics::compare::CompareError;
use kilter_numerics::ranks::{critical_difference, friedman, range_quantile, ranks};
use proptest::prelude::*;

fn near(a: f64, b: f64, tolerance: f64) {
    assert!((a - b).abs() <= tolerance, "{a} is not within {tolerance} of {b}");
}

#[test]
fn equals_share_the_mean_of_their_ranks() {
    assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [3.5, 1.0, 3.5, 2.0]);
    assert_eq!(ranks(&[0.0, -0.0, 0.0]), [2.0, 2.0, 2.0]);
    assert_eq!(ranks(&[]), [0.0; 0]);
}

/// scipy.stats.studentized_range.ppf(p, k, inf), which integrates to about 1e-11.
#[test]
fn range_quantiles_match_scipys_studentized_range() {
    for (count, probability, expected) in [
        (2, 0.95, 2.771_807_648_699_355),
        (3, 0.95, 3.314_493_155_398_122),
        (5, 0.95, 3.857_655_510_378_623),
        (10, 0.95, 4.474_124_221_725_907),
        (13, 0.95, 4.684_919_847_313_499),
        (40, 0.95, 5.497_935_262_740_747),
        (5, 0.90, 3.478_280_550_703_068),
        (40, 0.90, 5.202_369_251_238_13),
    ] {
        near(range_quantile(count, probability).unwrap(), expected, 1e-9);
    }
}

/// Demšar (2006), section 3.2.4: four classifiers over 14 data sets have a critical difference of 1.25.
#[test]
fn critical_difference_matches_demsars_example() {
    near(critical_difference(4, 14, 0.95).unwrap(), 1.25, 0.005);
}

/// scipy.stats.friedmanchisquare and rankdata on the same numbers, the first with ties.
#[test]
fn friedman_matches_scipy() {
    let tied = [
        vec![0.6, 0.3, 0.0, 0.0],
        vec![0.8, 0.9, 0.6, 0.7],
        vec![0.5, 0.9, 0.8, 0.0],
        vec![0.9, 0.0, 0.7, 0.2],
        vec![0.9, 0.5, 0.3, 0.4],
        vec![0.0, 0.1, 0.7, 0.6],
    ];
    let result = friedman(&tied).unwrap();
    near(result.chi_squared, 2.796_610_169_491_525_5, 1e-12);
    near(result.p_value, 0.424_058_247_565_211_7, 1e-12);
    for (rank, expected) in result.mean_ranks.iter().zip([3.0, 17.0 / 6.0, 2.25, 23.0 / 12.0]) {
        near(*rank, expected, 1e-12);
    }
    let untied =
        [vec![0.1, 0.2, 0.3], vec![0.2, 0.1, 0.3], vec![0.1, 0.25, 0.4], vec![0.5, 0.6, 0.7], vec![1.0, 3.0, 2.0]];
    let result = friedman(&untied).unwrap();
    near(result.chi_squared, 6.4, 1e-12);
    near(result.p_value, 0.040_762_203_978_366_11, 1e-12);
}

#[test]
fn methods_that_no_problem_tells_apart_are_no_surprise() {
    let result = friedman(&[vec![1.0, 1.0], vec![0.0, 0.0]]).unwrap();
    assert_eq!((result.chi_squared, result.p_value), (0.0, 1.0));
    assert_eq!(result.mean_ranks, [1.5, 1.5]);
}

#[test]
fn what_cannot_be_ranked_is_refused() {
    assert_eq!(friedman(&[]), Err(CompareError::TooFew { given: 0 }));
    assert_eq!(friedman(&[vec![1.0], vec![2.0]]), Err(CompareError::TooFew { given: 1 }));
    assert_eq!(friedman(&[vec![1.0, 2.0], vec![2.0]]), Err(CompareError::Unpaired { first: 2, second: 1 }));
    assert_eq!(friedman(&[vec![1.0, 2.0], vec![2.0, f64::NAN]]), Err(CompareError::NotFinite { index: 1 }));
    assert_eq!(critical_difference(1, 5, 0.95), Err(CompareError::TooFew { given: 1 }));
    assert_eq!(critical_difference(5, 0, 0.95), Err(CompareError::TooFew { given: 0 }));
    assert_eq!(range_quantile(3, 0.0), Err(CompareError::Confidence(0.0)));
}

proptest! {
    /// However many equals there are, ranks add up as if there were none.
    #[test]
    fn ranks_add_up(values in prop::collection::vec((0..5).prop_map(f64::from), 0..30)) {
        let n = values.len() as f64;
        near(ranks(&values).iter().sum(), n * (n + 1.0) / 2.0, 1e-9);
    }
}
