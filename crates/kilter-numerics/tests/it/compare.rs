use kilter_numerics::Stream;
use kilter_numerics::compare::{
    CompareError, Z_95, bootstrap, bootstrap_mean, mean_interval, paired_difference, wilson,
};
use proptest::prelude::*;

fn near(a: f64, b: f64, tolerance: f64) {
    assert!((a - b).abs() <= tolerance, "{a} is not within {tolerance} of {b}");
}

/// The worked example of Newcombe (*Two-sided confidence intervals for the single proportion*, 1998, table I, method
/// 3): 81 of 263 gives 0.2553 to 0.3662, 0 of 20 gives 0 to 0.1611, 29 of 29 gives 0.8830 to 1; four digits printed.
#[test]
fn wilson_matches_newcombes_table() {
    for (successes, trials, low, high) in
        [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (29, 29, 0.8830, 1.0)]
    {
        let interval = wilson(successes, trials, Z_95).unwrap();
        near(interval.low, low, 5e-5);
        near(interval.high, high, 5e-5);
    }
}

#[test]
fn wilson_of_no_trials_is_undefined() {
    assert_eq!(wilson(0, 0, Z_95), None);
    assert_eq!(wilson(3, 2, Z_95), None);
    assert_eq!(wilson(1, 2, f64::NAN), None);
    assert_eq!(wilson(1, 2, -1.0), None);
}

/// t(0.975) is 12.706204736174698 with 1 degree of freedom (tan(0.475 pi)) and 2.262157162798205 with 9 (tables). The
/// solver behind it (statrs) stops at about 1e-11 relative.
#[test]
fn mean_interval_uses_students_quantiles() {
    let two = mean_interval(&[1.0, 3.0], 0.95).unwrap();
    assert_eq!(two.estimate, 2.0);
    near(two.high, 2.0 + 12.706_204_736_174_698, 1e-8);
    near(two.low, 2.0 - 12.706_204_736_174_698, 1e-8);

    // 1..=10: mean 5.5, standard error sqrt(55/6)/sqrt(10).
    let ten: Vec<f64> = (1..=10).map(f64::from).collect();
    let interval = mean_interval(&ten, 0.95).unwrap();
    near(interval.high - 5.5, 2.262_157_162_798_205 * (55.0_f64 / 6.0 / 10.0).sqrt(), 1e-9);
}

/// With one degree of freedom t is Cauchy: p = 1 - 2 atan(|t|)/pi, known in closed form.
#[test]
fn paired_p_of_two_pairs_is_cauchys() {
    let result = paired_difference(&[2.0, 6.0], &[1.0, 1.0], 0.95).unwrap();
    assert_eq!((result.difference.estimate, result.pairs), (3.0, 2));
    assert_eq!(result.standard_error, 2.0);
    near(result.p_value, 1.0 - 2.0 * 1.5_f64.atan() / std::f64::consts::PI, 1e-12);
}

/// Student's own data (1908, the sleep table as R prints it): t = -4.0621, df = 9, p = 0.002833, interval -2.4598858
/// to -0.7001142.
#[test]
fn paired_difference_matches_students_sleep_data() {
    let first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0];
    let second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4];
    let result = paired_difference(&first, &second, 0.95).unwrap();
    near(result.difference.estimate, -1.58, 1e-12);
    near(result.difference.estimate / result.standard_error, -4.0621, 5e-5);
    near(result.p_value, 0.002833, 5e-7);
    near(result.difference.low, -2.459_885_8, 5e-8);
    near(result.difference.high, -0.700_114_2, 5e-8);
}

#[test]
fn equal_differences_take_the_tests_limit() {
    let same = paired_difference(&[0.1, 0.1, 0.1], &[0.1, 0.1, 0.1], 0.95).unwrap();
    assert_eq!((same.difference.estimate, same.standard_error, same.p_value), (0.0, 0.0, 1.0));
    let shifted = paired_difference(&[0.3, 0.3, 0.3], &[0.1, 0.1, 0.1], 0.95).unwrap();
    assert_eq!((shifted.standard_error, shifted.p_value), (0.0, 0.0));
    assert_eq!(shifted.difference.low, shifted.difference.high);
}

#[test]
fn what_has_no_answer_says_why() {
    assert_eq!(mean_interval(&[1.0], 0.95), Err(CompareError::TooFew { given: 1 }));
    assert_eq!(mean_interval(&[1.0, f64::NAN], 0.95), Err(CompareError::NotFinite { index: 1 }));
    assert_eq!(mean_interval(&[1.0, 2.0], 1.0), Err(CompareError::Confidence(1.0)));
    let unpaired = paired_difference(&[1.0, 2.0], &[1.0], 0.95).unwrap_err();
    assert_eq!(unpaired, CompareError::Unpaired { first: 2, second: 1 });
    assert!(unpaired.to_string().contains("same seeds"));
}

proptest! {
    #[test]
    fn wilson_holds_its_estimate_and_mirrors(trials in 1_u64..500, share in 0.0..=1.0_f64) {
        let successes = (share * trials as f64) as u64;
        let interval = wilson(successes, trials, Z_95).unwrap();
        prop_assert!(0.0 <= interval.low && interval.low <= interval.estimate);
        prop_assert!(interval.estimate <= interval.high && interval.high <= 1.0);
        let mirrored = wilson(trials - successes, trials, Z_95).unwrap();
        // A few roundings of numbers up to 1.
        prop_assert!((interval.low - (1.0 - mirrored.high)).abs() < 1e-14);
    }

    #[test]
    fn swapping_the_sides_flips_the_sign_only(
        pairs in prop::collection::vec((-10.0..10.0_f64, -10.0..10.0_f64), 2..30),
    ) {
        let (a, b): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let forward = paired_difference(&a, &b, 0.9).unwrap();
        let backward = paired_difference(&b, &a, 0.9).unwrap();
        prop_assert_eq!(forward.difference.estimate, -backward.difference.estimate);
        prop_assert_eq!(forward.p_value, backward.p_value);
        // The test rejects at 10 % exactly where the 90 % interval leaves zero out.
        let excludes_zero = forward.difference.low > 0.0 || forward.difference.high < 0.0;
        prop_assert!(excludes_zero == (forward.p_value < 0.1) || (forward.p_value - 0.1).abs() < 1e-9);
    }
}

/// The bootstrap distribution of the mean of {0, 1} drawn n times is binomial: of 16 values, half of them 1, its 2.5 %
/// point is 4/16 and its 97.5 % point 12/16 (cumulated 0.0384 to 4, 0.0106 to 3).
#[test]
fn bootstrap_of_a_coin_is_binomial() {
    let coin: Vec<f64> = (0..16).map(|i| f64::from(i % 2)).collect();
    let interval = bootstrap_mean(&[&coin], 0.95, 20_000, &mut Stream::new(&[1], "bootstrap")).unwrap();
    assert_eq!((interval.low, interval.estimate, interval.high), (0.25, 0.5, 0.75));
}

/// Means of k groups are averaged, so that the interval of many equal groups is narrower by the root of their number.
#[test]
fn bootstrap_resamples_every_group_from_itself() {
    let values: Vec<f64> = (0..40).map(f64::from).collect();
    let shifted: Vec<f64> = values.iter().map(|v| v + 1000.0).collect();
    let mut stream = Stream::new(&[2], "bootstrap");
    let one = bootstrap_mean(&[&values], 0.95, 4_000, &mut stream).unwrap();
    let two = bootstrap_mean(&[&values, &shifted], 0.95, 4_000, &mut stream).unwrap();
    near(two.estimate, 19.5 + 500.0, 1e-9);
    // Four thousand resamples know a width of ±3.6 to some per cent.
    near((two.high - two.low) / (one.high - one.low), 0.5_f64.sqrt(), 0.06);
    near((one.high - one.low) / 2.0, Z_95 * 11.543 / 40.0_f64.sqrt(), 0.25);
}

#[test]
fn bootstrap_refuses_what_has_no_mean() {
    let mut stream = Stream::new(&[3], "bootstrap");
    assert_eq!(bootstrap_mean(&[], 0.95, 10, &mut stream), Err(CompareError::TooFew { given: 0 }));
    assert_eq!(bootstrap_mean(&[&[]], 0.95, 10, &mut stream), Err(CompareError::TooFew { given: 0 }));
    let odd = [1.0, f64::NAN];
    assert_eq!(bootstrap_mean(&[&odd], 0.95, 10, &mut stream), Err(CompareError::NotFinite { index: 1 }));
    assert_eq!(bootstrap_mean(&[&[1.0]], 1.0, 10, &mut stream), Err(CompareError::Confidence(1.0)));
}

/// Statistics of rows are drawn as a mean is; one that some resamples do not have is judged by the others.
#[test]
fn bootstrap_of_rows_is_that_of_a_mean_and_leaves_out_what_is_undefined() {
    let values: Vec<f64> = (0..30).map(|i| f64::from(i * i % 17)).collect();
    let stream = || Stream::new(&[4], "bootstrap");
    let mut statistics = |rows: &[usize]| {
        let mean = rows.iter().map(|row| values[*row]).sum::<f64>() / rows.len() as f64;
        let has_first = rows.contains(&0);
        vec![mean, if has_first { mean } else { f64::NAN }, f64::NAN]
    };
    let all = bootstrap(30, 0.95, 500, &mut stream(), &mut statistics).unwrap();
    assert_eq!(all[0], Some(bootstrap_mean(&[&values], 0.95, 500, &mut stream()).unwrap()));
    let some = all[1].unwrap();
    assert!(some.low <= some.estimate && some.estimate <= some.high && Some(some) != all[0]);
    assert_eq!(all[2], None);
    let nothing = &mut |_: &[usize]| vec![0.0];
    assert_eq!(bootstrap(0, 0.95, 10, &mut stream(), nothing), Err(CompareError::TooFew { given: 0 }));
    assert_eq!(bootstrap(3, 0.0, 10, &mut stream(), nothing), Err(CompareError::Confidence(0.0)));
}
