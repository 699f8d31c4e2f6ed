use kilter_laws::limits::Quantity;
use kilter_laws::power_law::FitError;
use kilter_laws::power_scheduler::{
    Fall, LawError, Optimum, Phase, PowerConfig, PowerLaw, Schedule, ScheduleError, best_of_sweep, fit,
};
use proptest::prelude::*;
use serde_json::Value;

use crate::golden::{cases, golden, integer, near, near_absolute, number, numbers, text};

// What is trained is `kilter-recipes`' (`laws/power_scheduler.rs`).

fn schedule(case: &Value) -> Schedule {
    let warmup = integer(&case["warmup"]);
    let total = integer(&case["total"]);
    let decayed = |schedule: Schedule| {
        let shape: Fall = serde_json::from_value(case["shape"].clone()).unwrap();
        schedule.ending_at(total, integer(&case["decay"]), shape).unwrap()
    };
    match text(&case["schedule"]) {
        "power" => decayed(
            Schedule::power(&PowerConfig {
                batch_tokens: number(&case["batch"]) * 4096.0,
                a: number(&case["a"]),
                b: number(&case["b"]),
                eta_max: number(&case["eta_max"]),
                warmup_tokens: warmup,
                ..PowerConfig::default()
            })
            .unwrap(),
        ),
        "wsd" => decayed(Schedule::wsd(number(&case["peak"]), warmup).unwrap()),
        "cosine" => Schedule::cosine(number(&case["peak"]), number(&case["final"]), warmup, total).unwrap(),
        other => panic!("no schedule {other}"),
    }
}

#[test]
fn golden_schedules() {
    let (golden, tolerance) = golden("47-power-scheduler", "schedules.json");
    let absolute = number(&golden["tolerance"]["absolute"]);
    for case in cases(&golden, "cases") {
        let schedule = schedule(case);
        let expected = numbers(&case["learning_rate"]);
        for (tokens, expected) in case["tokens"].as_array().unwrap().iter().map(integer).zip(expected) {
            near_absolute(schedule.learning_rate(tokens), expected, absolute + tolerance * expected);
        }
    }
}

#[test]
fn golden_law() {
    let (golden, tolerance) = golden("47-power-scheduler", "schedules.json");
    for case in cases(&golden, "law") {
        let law = PowerLaw { amplitude: number(&case["a"]), exponent: number(&case["b"]), ..PowerLaw::default() };
        let found = law.predict(4096.0 * number(&case["batch"]), number(&case["tokens"])).unwrap();
        near(found.learning_rate.estimate, number(&case["learning_rate"]), tolerance);
    }
}

#[test]
fn the_papers_check_point_and_its_limits() {
    let found = PowerLaw::default().predict(1024.0 * 4096.0, 1e13).unwrap();
    assert_eq!(format!("{:.4}", found.learning_rate.estimate), "0.0011");
    let named: Vec<Quantity> = found.outside.iter().map(|outside| outside.fitted.quantity).collect();
    assert_eq!(named, [Quantity::Tokens, Quantity::BatchTokens]);
    let inside = PowerLaw::default().predict(128.0 * 4096.0, 2e9).unwrap();
    assert!(inside.outside.is_empty());
    assert!(inside.learning_rate.low < inside.learning_rate.estimate);
    assert!(inside.learning_rate.estimate < inside.learning_rate.high);
}

#[test]
fn impossible_laws_and_schedules_are_refused() {
    let law = PowerLaw::default();
    assert!(matches!(law.predict(0.0, 1e9), Err(LawError::NotPositive { what: "batch_tokens", .. })));
    assert!(matches!(law.predict(4096.0, f64::NAN), Err(LawError::NotPositive { what: "tokens", .. })));
    assert_eq!(PowerLaw { exponent: 0.1, ..law }.predict(4096.0, 1e9), Err(LawError::Grows(0.1)));

    let good = PowerConfig { warmup_tokens: 100, ..PowerConfig::default() };
    let refused = |config: PowerConfig| Schedule::power(&config).unwrap_err();
    assert_eq!(refused(PowerConfig { b: 0.0, ..good }), ScheduleError::Grows(0.0));
    assert_eq!(
        refused(PowerConfig { b: f64::NAN, allow_growth: true, ..good }).to_string().split(':').next(),
        Some("b")
    );
    assert!(Schedule::power(&PowerConfig { b: 0.1, allow_growth: true, ..good }).is_ok());
    for (what, config) in [
        ("a", PowerConfig { a: 0.0, ..good }),
        ("eta_max", PowerConfig { eta_max: -1.0, ..good }),
        ("batch_tokens", PowerConfig { batch_tokens: 0.0, ..good }),
        ("batch_unit_tokens", PowerConfig { batch_unit_tokens: 0.0, ..good }),
    ] {
        assert!(matches!(refused(config), ScheduleError::NotPositive { what: found, .. } if found == what));
    }
    let power = Schedule::power(&good).unwrap();
    let linear = Fall::Linear;
    assert_eq!(power.ending_at(150, 60, linear), Err(ScheduleError::Overlap { start: 90, warmup: 100 }));
    assert_eq!(power.ending_at(50, 60, linear), Err(ScheduleError::DecayTooLong { decay: 60, total: 50 }));
    assert_eq!(Schedule::cosine(0.1, 0.0, 10, 10), Err(ScheduleError::CosineTooShort { total: 10, warmup: 10 }));
    assert!(Schedule::cosine(0.1, -0.1, 10, 20).is_err() && Schedule::wsd(0.0, 10).is_err());
    let cosine = Schedule::cosine(0.1, 0.0, 10, 20).unwrap();
    assert_eq!(cosine.decay_from(15, 5, linear), Err(ScheduleError::CosineDecay));
}

#[test]
fn a_schedule_says_where_it_is() {
    let schedule = Schedule::wsd(0.1, 10).unwrap().ending_at(100, 20, Fall::Linear).unwrap();
    let phases = [0, 10, 80, 81, 100, 101].map(|tokens| schedule.phase(tokens));
    assert_eq!(phases, [Phase::WarmUp, Phase::Stable, Phase::Stable, Phase::Decay, Phase::Decay, Phase::Over]);
    let cosine = Schedule::cosine(0.1, 0.01, 0, 20).unwrap();
    assert_eq!([cosine.phase(20), cosine.phase(21)], [Phase::Stable, Phase::Over]);
    assert_eq!(cosine.learning_rate(1000), 0.01);
    let at_once = Schedule::wsd(0.1, 0).unwrap().decay_from(50, 0, Fall::Linear).unwrap();
    assert_eq!([at_once.learning_rate(50), at_once.learning_rate(51)], [0.1, 0.0]);
}

#[test]
fn a_warm_up_with_an_offset_takes_no_step_at_rate_zero() {
    let config = PowerConfig { warmup_tokens: 100, warmup_offset_tokens: 10, ..PowerConfig::default() };
    let (offset, plain) = (
        Schedule::power(&config).unwrap(),
        Schedule::power(&PowerConfig { warmup_offset_tokens: 0, ..config }).unwrap(),
    );
    assert_eq!(plain.learning_rate(0), 0.0);
    assert_eq!(offset.learning_rate(0), plain.learning_rate(10));
    assert_eq!(offset.learning_rate(95), plain.learning_rate(100), "the ramp ends where it should");
    assert_eq!(offset.learning_rate(200), plain.learning_rate(200));
}

#[test]
fn a_law_is_recovered_from_its_optima() {
    let mut optima = Vec::new();
    for batch in [16.0, 64.0, 256.0] {
        for tokens in [2e9, 1.6e10, 1.28e11] {
            let batch_tokens = batch * 4096.0;
            let learning_rate = PowerLaw::default().at(batch_tokens, tokens);
            optima.push(Optimum { batch_tokens, tokens, learning_rate });
        }
    }
    let found = fit(&optima, 4096.0, 100, 1).unwrap();
    near(found.amplitude.estimate, 4.6, 1e-9);
    near(found.batch_exponent.estimate, 1.0, 1e-9);
    near(found.token_exponent.estimate, -0.51, 1e-9);
    // Without noise every resample gives the same law.
    near(found.token_exponent.low, found.token_exponent.high, 1e-8);
    let one_batch: Vec<Optimum> = optima.iter().copied().filter(|o| o.batch_tokens < 1e5).collect();
    assert_eq!(fit(&one_batch, 4096.0, 10, 1).unwrap_err(), FitError::Unidentified { column: 1 });
}

#[test]
fn the_best_of_a_sweep_is_the_parabolas_vertex() {
    let loss = |lr: f64| 1.0 + 0.3 * (lr / 0.01).ln().powi(2);
    let sweep: Vec<(f64, f64)> = [0.002, 0.004, 0.008, 0.016].map(|lr| (lr, loss(lr))).to_vec();
    near(best_of_sweep(&sweep).unwrap().unwrap(), 0.01, 1e-9);
    let concave: Vec<(f64, f64)> = sweep.iter().map(|&(lr, loss)| (lr, -loss)).collect();
    assert_eq!(best_of_sweep(&concave), Ok(None));
    assert!(best_of_sweep(&sweep[..2]).is_err() && best_of_sweep(&[(0.0, 1.0); 3]).is_err());
}

proptest! {
    #[test]
    fn schedules_have_no_jump(warmup in 1_000_000..10_000_000_u64, batch in 1.0..512.0_f64, shape in 0..5_usize) {
        let shape = [Fall::ExpZero, Fall::Exp, Fall::Linear, Fall::Sqrt, Fall::Cosine][shape];
        let config = PowerConfig { batch_tokens: batch * 4096.0, warmup_tokens: warmup, ..PowerConfig::default() };
        let schedule = Schedule::power(&config).unwrap().ending_at(1_000_000_000, 100_000_000, shape).unwrap();
        for boundary in [warmup, 900_000_000] {
            let (before, after) = (schedule.learning_rate(boundary - 1), schedule.learning_rate(boundary + 1));
            // One token changes a ramp by 1e-6, and the square root's steep start by sqrt(1e-8).
            near(before, after, 2e-4);
        }
        prop_assert!(schedule.learning_rate(1_000_000_000) <= schedule.learning_rate(900_000_000) * 1e-3);
    }

    #[test]
    fn a_doubled_batch_doubles_the_rate_below_the_cap(tokens in 1e8..1e12_f64, batch in 1.0..64.0_f64) {
        let rate = |batch: f64| {
            let config = PowerConfig { batch_tokens: batch * 4096.0, warmup_tokens: 0, eta_max: 1e6, ..PowerConfig::default() };
            Schedule::power(&config).unwrap().learning_rate(tokens as u64)
        };
        near(rate(2.0 * batch), 2.0 * rate(batch), 1e-14);
    }

    #[test]
    fn a_decay_announced_late_changes_nothing_before_it(tokens in 0..500_000_u64) {
        let schedule = Schedule::power(&PowerConfig { warmup_tokens: 1000, ..PowerConfig::default() }).unwrap();
        let decaying = schedule.decay_from(500_000, 50_000, Fall::ExpZero).unwrap();
        prop_assert_eq!(schedule.learning_rate(tokens), decaying.learning_rate(tokens));
    }
}
