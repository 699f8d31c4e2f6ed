use kilter_laws::parallel::{
    Accounting, Assumptions, Bounds, HARDWARE, Hardware, MODELS, Model, ModelError, PUBLISHED, Plan, Recompute,
    Refusal, Strategy, calibrated, divisors, largest_batches, memory, plans, published, time,
};
use kilter_laws::transformer_cost::{Mixer, Transformer};
use proptest::prelude::*;
use serde_json::Value;

use crate::golden::{cases, golden, integer, near, number, text};

fn model(value: &Value) -> Model {
    let of = |name: &str| integer(&value[name]);
    Model {
        name: text(&value["name"]).to_owned(),
        layers: of("layers"),
        hidden: of("hidden"),
        heads: of("heads"),
        seq_len: of("seq"),
        vocabulary: of("vocab"),
        shape: None,
    }
}

fn hardware(value: &Value) -> Hardware {
    let of = |name: &str| number(&value[name]);
    Hardware {
        name: "golden",
        source: "golden",
        memory_bytes: of("memory_bytes"),
        peak: of("peak"),
        memory_bandwidth: of("memory_bandwidth"),
        package: integer(&value["package"]),
        node: integer(&value["node"]),
        bw_package: of("bw_package"),
        bw_node: of("bw_node"),
        bw_network: of("bw_network"),
        latency: of("latency"),
        eff: of("eff"),
    }
}

fn strategy(value: &Value) -> Strategy {
    let of = |name: &str| integer(&value[name]);
    Strategy {
        tp: of("tp"),
        pp: of("pp"),
        dp: of("dp"),
        micro_batch: of("micro_batch"),
        global_batch: of("global_batch"),
        zero: of("zero") as u8,
        interleave: of("interleave"),
        recompute: serde_json::from_value(value["recompute"].clone()).unwrap(),
        sequence_parallel: value["sequence_parallel"].as_bool().unwrap(),
    }
}

fn assumptions(value: &Value) -> Assumptions {
    let accounting = serde_json::from_value(value["accounting"].clone()).unwrap();
    Assumptions { accounting, overlap: number(&value["overlap"]), ..Assumptions::default() }
}

#[test]
fn golden_parallel_counts() {
    let (golden, tolerance) = golden("40-parallelism-planner", "cost-model.json");
    for case in cases(&golden, "counts") {
        let model = model(&case["model"]);
        near(model.parameters(), number(&case["parameters"]), tolerance);
        near(model.flop(1.0, 4.0), number(&case["flops_with_recompute_batch_1"]), tolerance);
    }
    for (parameters, bytes) in golden["paper14_total_bytes"].as_object().unwrap() {
        let per_parameter: f64 = Accounting::Paper14.bytes().iter().sum();
        near(parameters.parse::<f64>().unwrap() * per_parameter, number(bytes), tolerance);
    }
}

#[test]
fn golden_parallel_costs() {
    let (golden, tolerance) = golden("40-parallelism-planner", "cost-model.json");
    for case in cases(&golden, "cases") {
        let (model, strategy) = (model(&case["model"]), strategy(&case["strategy"]));
        let (hardware, assumptions) = (hardware(&case["hardware"]), assumptions(&case["strategy"]));
        let found = memory(&model, &strategy, &assumptions);
        let expected = &case["memory"];
        near(found.parameters_per_device, number(&expected["parameters_per_device"]), tolerance);
        near(found.state_bytes, number(&expected["state_bytes"]), tolerance);
        near(found.activation_bytes, number(&expected["activation_bytes_first_stage"]), tolerance);
        assert_eq!(strategy.micro_batches(), integer(&expected["micro_batches"]));
        let found = time(&model, &strategy, &hardware, &assumptions);
        for (name, found) in [
            ("t_forward", found.forward),
            ("t_backward", found.backward),
            ("t_tensor_parallel", found.tensor_parallel),
            ("stage", found.stage),
            ("bubble", found.bubble),
            ("bubble_fraction", found.bubble_fraction),
            ("point_to_point", found.point_to_point),
            ("data_parallel", found.data_parallel),
            ("optimiser", found.optimizer),
            ("step", found.step),
            ("flops", found.flop),
            ("fraction_of_peak", found.fraction_of_peak),
        ] {
            let expected = number(&case["time"][name]);
            assert!((found - expected).abs() <= tolerance * expected.abs(), "{name}: {found} and {expected}");
        }
    }
}

fn frontier() -> &'static Hardware {
    Hardware::named("mi250x-gcd").unwrap()
}

fn paper() -> Assumptions {
    Assumptions { accounting: Accounting::Paper14, ..Assumptions::default() }
}

/// What the paper did not vary: full recomputation, plain pipelines, ZeRO 1, no sequence parallelism.
const FIXED: Bounds = Bounds {
    tp: None,
    pp: None,
    micro_batch: None,
    zero: Some(1),
    interleave: Some(1),
    recompute: Some(Recompute::Full),
    sequence_parallel: Some(false),
    cross_node: false,
};

/// The published recipes: model, devices, batch, tensor and pipeline ranks.
const RECIPES: [(&str, u64, u64, u64, u64); 2] = [("gpt-175b", 1024, 10_240, 4, 16), ("gpt-1t", 3072, 9600, 8, 64)];

#[test]
fn the_published_recipes_are_near_the_best_of_their_kind() {
    for (name, devices, batch, tp, pp) in RECIPES {
        let model = Model::named(name).unwrap();
        let found = plans(&model, frontier(), devices, batch, &FIXED, &paper()).unwrap();
        let is_it = |plan: &&Plan| {
            let s = plan.strategy;
            (s.tp, s.pp, s.micro_batch) == (tp, pp, 1)
        };
        let recipe = found.plans.iter().find(is_it).unwrap();
        // At most 10 % above the best: an independent evaluation found 6.3 % and 2.1 %.
        assert!(recipe.time.step <= 1.1 * found.plans[0].time.step, "{name}: {recipe:?}");
        // Published: 36.14 % and 31.96 % of the peak.
        let published = if name == "gpt-175b" { 0.3614 } else { 0.3196 };
        assert!((recipe.time.fraction_of_peak - published).abs() < 0.06, "{name}: {recipe:?}");
    }
}

#[test]
fn as_many_strategies_as_were_counted_by_hand() {
    for ((name, devices, batch, ..), expected) in RECIPES.into_iter().zip([13_611, 4248]) {
        let model = Model::named(name).unwrap();
        let found = plans(&model, frontier(), devices, batch, &Bounds::default(), &paper()).unwrap();
        assert_eq!(found.strategies, expected, "{name}");
        assert_eq!(found.plans.len() + found.too_large, expected);
        assert!(found.plans.iter().all(|plan| plan.strategy.devices() == devices));
        assert!(found.plans.is_sorted_by(|a, b| a.time.step <= b.time.step));
    }
}

/// The usual GPT, written out as a shape of its own, costs what the closed formulas say. They count both tables of a tied
/// head once and no biases of the last norm more or less than 2 h.
#[test]
fn a_shape_that_is_gpts_costs_what_gpt_costs() {
    let usual = Model::named("gpt-6.7b").unwrap();
    let shape = Transformer::gpt(usual.layers, usual.hidden, usual.heads, usual.vocabulary, usual.seq_len);
    let own = Model::of_shape("own", &shape).unwrap();
    let near = |a: f64, b: f64, tolerance: f64| assert!((a / b - 1.0).abs() < tolerance, "{a} and {b}");
    // The final norm's 2 h of 6.7e9.
    near(own.parameters(), usual.parameters(), 1e-5);
    near(own.flop(3.0, 4.0), usual.flop(3.0, 4.0), 1e-12);
    for (tp, recompute, sequence_parallel) in
        [(1, Recompute::None, false), (4, Recompute::Selective, true), (2, Recompute::Full, false)]
    {
        let strategy = Strategy {
            tp,
            pp: 4,
            dp: 2,
            micro_batch: 2,
            global_batch: 64,
            zero: 1,
            interleave: 1,
            recompute,
            sequence_parallel,
        };
        let of = |model: &Model| memory(model, &strategy, &Assumptions::default());
        near(of(&own).activation_bytes, of(&usual).activation_bytes, 1e-12);
        near(of(&own).total_bytes, of(&usual).total_bytes, 1e-5);
        near(of(&own).worst_stage_state_bytes, of(&usual).worst_stage_state_bytes, 1e-5);
    }
}

#[test]
fn a_llama_is_counted_as_it_is() {
    // Llama 3 8B: 32 layers of 4096, 32 heads on 8, gated feed-forward of 14336, vocabulary 128256: 8,030,261,248.
    let shape = Transformer { kv_heads: 8, ..Transformer::llama(32, 4096, 32, 14_336, 128_256, 8192) };
    let model = Model::of_shape("llama-3-8b", &shape).unwrap();
    assert_eq!(model.parameters(), 8_030_261_248.0);
    let h100 = Hardware::named("h100").unwrap();
    let found = plans(&model, h100, 8, 64, &Bounds::default(), &Assumptions::default()).unwrap();
    assert!(found.plans.iter().all(|plan| 8 % plan.strategy.tp == 0));
    // More tensor parallel ranks than heads of keys would share one.
    let said = plans(
        &model,
        h100,
        16,
        64,
        &Bounds { tp: Some(16), cross_node: true, ..Bounds::default() },
        &Assumptions::default(),
    );
    assert!(said.unwrap_err().to_string().contains("heads of keys and values = 8"));
    let recurrent = Transformer { mixer: Mixer::QuasiLstm, ..shape };
    assert_eq!(Model::of_shape("q", &recurrent), Err(ModelError::NoAttention));
}

/// One sequence more does not fit, this many do, and where nothing fits it is said how much is missing.
#[test]
fn the_largest_batch_fits_and_one_more_does_not() {
    let model = Model::named("gpt-125m").unwrap();
    let card = Hardware::named("rtx-4090").unwrap();
    let assumptions = Assumptions::default();
    let room = (1.0 - assumptions.headroom) * card.memory_bytes;
    for devices in [1, 4] {
        let filled = largest_batches(&model, card, devices, &Bounds::default(), &assumptions).unwrap();
        assert!(filled.is_sorted_by(|a, b| a.sequences_per_second >= b.sequences_per_second));
        for filled in &filled {
            let s = filled.plan.strategy;
            assert_eq!(s.devices(), devices);
            assert!(filled.plan.memory.total_bytes <= room && filled.next_bytes > room, "{filled:?}");
            let more = Strategy { micro_batch: s.micro_batch + 1, ..s };
            let more = Strategy { global_batch: s.global_batch / s.micro_batch * more.micro_batch, ..more };
            assert_eq!(memory(&model, &more, &assumptions).total_bytes, filled.next_bytes);
        }
    }
    let alone = largest_batches(&model, card, 1, &Bounds::default(), &assumptions).unwrap();
    let batch = |recompute| {
        alone.iter().find(|filled| filled.plan.strategy.recompute == recompute).unwrap().plan.strategy.micro_batch
    };
    assert!(
        batch(Recompute::Full) > batch(Recompute::Selective) && batch(Recompute::Selective) > batch(Recompute::None)
    );
    let large = Model::named("gpt-6.7b").unwrap();
    let said = largest_batches(&large, card, 1, &Bounds::default(), &assumptions).unwrap_err();
    assert!(matches!(said, Refusal::TooLarge { would_do: Some(_), .. }), "{said}");
}

/// With the efficiency fitted on 175B alone, 1T is predicted within 6 points, in the published order.
#[test]
fn the_published_points_are_predicted_in_their_order() {
    for point in &PUBLISHED {
        assert!(Model::named(point.model).is_some());
    }
    let points = published(&calibrated(frontier())).unwrap();
    let fraction = |at: usize| points[at].plan.time.fraction_of_peak;
    // Forty halvings of an interval of length one.
    assert!(points[1].error_points.abs() < 1e-6, "{points:?}");
    assert!(points[2].error_points.abs() < 6.0, "{points:?}");
    assert!(fraction(1) > fraction(2), "1T reaches less of the peak than 175B");
    // Places as an independent evaluation found them at efficiency 0.42.
    let points = published(frontier()).unwrap();
    assert_eq!((points[1].place, points[2].place), ((7, 34), (4, 9)));
    assert_eq!((points[1].place_of_all, points[2].place_of_all), ((587, 1556), (73, 208)));
}

#[test]
fn one_device_speaks_to_nobody() {
    let model = Model::named("gpt-125m").unwrap();
    let found = plans(&model, frontier(), 1, 8, &Bounds::default(), &Assumptions::default()).unwrap();
    for plan in found.plans {
        let time = plan.time;
        assert_eq!((time.tensor_parallel, time.bubble, time.point_to_point, time.data_parallel), (0.0, 0.0, 0.0, 0.0));
    }
}

#[test]
fn what_cannot_be_says_what_could() {
    let model = Model::named("gpt-175b").unwrap();
    let ask = |devices, batch, bounds: Bounds| {
        plans(&model, frontier(), devices, batch, &bounds, &Assumptions::default()).unwrap_err()
    };
    let alone = ask(1, 8, Bounds::default());
    assert!(matches!(alone, Refusal::TooLarge { would_do: Some(_), .. }), "{alone}");
    let Refusal::TooLarge { would_do: Some(devices), .. } = alone else { panic!("no advice") };
    assert!(plans(&model, frontier(), devices, 8, &Bounds::default(), &Assumptions::default()).is_ok());
    let said = ask(1024, 1024, Bounds { pp: Some(7), ..Bounds::default() }).to_string();
    assert!(said.contains("pp = 7 does not divide layers = 96; the nearest that do are 6 and 8"), "{said}");
    let said = ask(1024, 1024, Bounds { pp: Some(8), zero: Some(3), ..Bounds::default() }).to_string();
    assert!(said.contains("pp=1"), "{said}");
    let said = ask(1024, 1000, Bounds { tp: Some(4), pp: Some(16), ..Bounds::default() }).to_string();
    assert!(said.contains("16 does not divide global_batch = 1000"), "{said}");
    assert_eq!(ask(0, 1, Bounds::default()), Refusal::Zero("devices"));
    let broken = Hardware { bw_network: 0.0, ..frontier().clone() };
    let said = plans(&model, &broken, 8, 8, &Bounds::default(), &Assumptions::default()).unwrap_err().to_string();
    assert!(said.contains("bw_network is 0"), "{said}");
}

#[test]
fn every_named_model_and_device_is_sound() {
    for (name, ..) in MODELS {
        assert_eq!(Model::named(name).unwrap().check(), Ok(()), "{name}");
    }
    for hardware in HARDWARE {
        let model = Model { layers: 2, hidden: 64, heads: 2, ..Model::named("gpt-125m").unwrap() };
        let found = plans(&model, hardware, hardware.node, 64, &Bounds::default(), &Assumptions::default());
        assert!(found.is_ok(), "{}: {found:?}", hardware.name);
    }
}

proptest! {
    #[test]
    fn divisors_are_all_and_ascending(n in 1_u64..5000) {
        let expected: Vec<u64> = (1..=n).filter(|d| n % d == 0).collect();
        prop_assert_eq!(divisors(n), expected);
    }

    /// At fixed replicas memory never rises with tensor ranks, stages (of a batch of one micro-batch per stage or more) or
    /// ZeRO, and interleaving divides the bubble.
    #[test]
    fn more_cutting_needs_no_more_memory(tp in 0_u32..3, pp in 0_u32..4, zero in 0_u8..2, full in any::<bool>()) {
        let model = Model::named("gpt-22b").unwrap();
        let (tp, pp) = (1 << tp, 1 << pp);
        let recompute = if full { Recompute::Full } else { Recompute::Selective };
        let base = Strategy {
            tp, pp, dp: 4, micro_batch: 1, global_batch: 256, zero, interleave: 1, recompute, sequence_parallel: false,
        };
        let bytes = |strategy: Strategy| memory(&model, &strategy, &Assumptions::default()).total_bytes;
        let more = bytes(Strategy { tp: 2 * tp, ..base });
        prop_assert!(more <= bytes(base));
        let more = bytes(Strategy { pp: 2 * pp, ..base });
        prop_assert!(more <= bytes(base));
        let more = bytes(Strategy { zero: zero + 1, ..base });
        prop_assert!(more <= bytes(base));
        let bubble = |interleave| {
            time(&model, &Strategy { interleave, ..base }, frontier(), &Assumptions::default()).bubble
        };
        prop_assert!((bubble(1) - 3.0 * bubble(3)).abs() <= 1e-12 * bubble(1));
    }
}
