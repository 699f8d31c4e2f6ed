//! The three trainings that *Optimizing Distributed Training on Frontier for Large Language Models* (2023) reports, beside
//! what the model of costs says of them.

use serde::Serialize;

use super::{Accounting, Assumptions, Bounds, Hardware, Model, Plan, Recompute, Refusal, Strategy, plans};

/// A published training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Published {
    /// The model.
    pub model: &'static str,
    /// Share of peak that was reached.
    pub fraction_of_peak: f64,
    /// How it was cut, as remembered: tensor, pipeline and data parallel ranks, sequences per replica and step. The 22B
    /// recipe is not known.
    pub cut: Option<[u64; 4]>,
}

/// The paper's points.
pub const PUBLISHED: [Published; 3] = [
    Published { model: "gpt-22b", fraction_of_peak: 0.3838, cut: None },
    Published { model: "gpt-175b", fraction_of_peak: 0.3614, cut: Some([4, 16, 16, 640]) },
    Published { model: "gpt-1t", fraction_of_peak: 0.3196, cut: Some([8, 64, 6, 1600]) },
];

impl Published {
    /// How it was cut, where that is known.
    pub fn recipe(&self) -> Option<Strategy> {
        self.cut.map(|[tp, pp, dp, per_replica]| Strategy {
            tp,
            pp,
            dp,
            micro_batch: 1,
            global_batch: per_replica * dp,
            zero: 1,
            interleave: 1,
            recompute: Recompute::Full,
            sequence_parallel: false,
        })
    }
}

/// Devices and batch that stand for the unknown recipe of 22B: eight nodes, and the 175B recipe's batch per replica.
const UNKNOWN: (u64, u64) = (64, 640);

/// A published point and the prediction.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// What was published.
    pub published: Published,
    /// The plan that was costed: the recipe, or where it is unknown the quickest of the paper's fixed choices.
    pub plan: Plan,
    /// Predicted minus published share of peak, in percentage points.
    pub error_points: f64,
    /// Place of the recipe's step among the plans of its own fixed choices that fit, from 1, and how many these are.
    pub place: (usize, usize),
    /// How much longer the recipe's step is than the quickest of those, as a share.
    pub behind: f64,
    /// The same place among all plans that fit.
    pub place_of_all: (usize, usize),
}

/// What the recipes fixed: one forward pass more, no interleaving, ZeRO 1, no cut along the sequence.
fn fixed() -> Bounds {
    Bounds {
        zero: Some(1),
        interleave: Some(1),
        recompute: Some(Recompute::Full),
        sequence_parallel: Some(false),
        ..Bounds::default()
    }
}

fn assumptions() -> Assumptions {
    Assumptions { accounting: Accounting::Paper14, ..Assumptions::default() }
}

/// The points at this hardware, with the paper's 14 bytes per parameter.
///
/// # Errors
/// None of the paper's models fits this hardware.
pub fn published(hardware: &Hardware) -> Result<Vec<Point>, Refusal> {
    PUBLISHED.iter().map(|published| point(published, hardware)).collect()
}

fn point(published: &Published, hardware: &Hardware) -> Result<Point, Refusal> {
    // Every published model is in the table of models; a test looks.
    let model = Model::named(published.model).ok_or(Refusal::Zero("model"))?;
    let assumptions = assumptions();
    let (devices, batch) = published.recipe().map_or(UNKNOWN, |recipe| (recipe.devices(), recipe.global_batch));
    let alike = plans(&model, hardware, devices, batch, &fixed(), &assumptions)?.plans;
    let plan = published.recipe().map_or(alike[0], |recipe| Plan::of(&model, recipe, hardware, &assumptions));
    let all = plans(&model, hardware, devices, batch, &Bounds::default(), &assumptions)?.plans;
    let place =
        |plans: &[Plan]| (plans.iter().filter(|other| other.time.step < plan.time.step).count() + 1, plans.len());
    Ok(Point {
        published: *published,
        plan,
        error_points: 100.0 * (plan.time.fraction_of_peak - published.fraction_of_peak),
        place: place(&alike),
        behind: plan.time.step / alike[0].time.step - 1.0,
        place_of_all: place(&all),
    })
}

/// The hardware with the efficiency at which the 175B recipe is predicted exactly: the one number that is fitted, on that
/// point alone. The share of peak rises with the efficiency, so it is found by halving.
pub fn calibrated(hardware: &Hardware) -> Hardware {
    let at = |eff: f64| Hardware { eff, ..hardware.clone() };
    let target = &PUBLISHED[1];
    let (Some(model), Some(recipe)) = (Model::named(target.model), target.recipe()) else { return hardware.clone() };
    let reached = |eff: f64| super::time(&model, &recipe, &at(eff), &assumptions()).fraction_of_peak;
    let (mut low, mut high) = (0.05, 1.0);
    for _ in 0..40 {
        let middle = 0.5 * (low + high);
        if reached(middle) < target.fraction_of_peak { low = middle } else { high = middle }
    }
    at(0.5 * (low + high))
}
