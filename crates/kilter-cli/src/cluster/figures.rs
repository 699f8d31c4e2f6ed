//! What plans look like: what they trade, and what fills a device.

use kilter_laws::parallel::{Assumptions, Hardware, Plan};
use kilter_plot::{Chart, Mark, Scale, Series};

/// Plans that are drawn at most, the quickest; the front is drawn whole.
const MOST: usize = 2000;

fn name(plan: &Plan) -> String {
    let s = &plan.strategy;
    let extra = match (s.interleave > 1, s.sequence_parallel) {
        (true, true) => format!(" v{} seq", s.interleave),
        (true, false) => format!(" v{}", s.interleave),
        (false, true) => " seq".to_owned(),
        (false, false) => String::new(),
    };
    format!("{}x{}x{} b{} z{} {}{extra}", s.tp, s.pp, s.dp, s.micro_batch, s.zero, s.recompute.name())
}

/// Seconds of a step against memory: all plans, and those that no other beats in both.
pub fn front(plans: &[Plan], front: &[&Plan]) -> Chart {
    let spot = |plan: &Plan| (plan.memory.total_bytes / 1e9, plan.time.step);
    let shown = &plans[..plans.len().min(MOST)];
    let mut best: Vec<&Plan> = front.to_vec();
    best.sort_by(|a, b| a.memory.total_bytes.total_cmp(&b.memory.total_bytes));
    let note = if shown.len() < plans.len() {
        format!("The {MOST} quickest of {} plans, and the whole front.", plans.len())
    } else {
        String::new()
    };
    Chart::new("What plans trade", Scale::linear("GB per device"), Scale::log("seconds per step"))
        .with(
            Series::new("plans that fit", Mark::Points, shown.iter().map(spot).collect())
                .noted(shown.iter().map(name).collect()),
        )
        .with(
            Series::new("none better in both", Mark::Line, best.iter().map(|plan| spot(plan)).collect())
                .noted(best.iter().map(|plan| name(plan)).collect()),
        )
        .saying(&note)
}

/// What the best plans keep on a device, in parts.
pub fn memory(plans: &[Plan], top: usize, hardware: &Hardware, assumptions: &Assumptions) -> Chart {
    let shown = &plans[..plans.len().min(top.max(1))];
    let gigabytes = |of: &dyn Fn(&Plan) -> f64| shown.iter().map(|plan| of(plan) / 1e9).collect::<Vec<f64>>();
    let rest = |plan: &Plan| {
        let m = &plan.memory;
        m.total_bytes - m.state_bytes - m.activation_bytes - m.logit_bytes
    };
    let room = (1.0 - assumptions.headroom) * hardware.memory_bytes / 1e9;
    let across = |height: f64| vec![(-0.5, height), (shown.len() as f64 - 0.5, height)];
    Chart::new("Memory of a device", Scale::linear("tp x pp x dp, micro-batch b, ZeRO z"), Scale::linear("GB"))
        .of_categories(shown.iter().map(name).collect())
        .with(Series::bars("weights, gradients, optimizer", gigabytes(&|plan| plan.memory.state_bytes)))
        .with(Series::bars("activations", gigabytes(&|plan| plan.memory.activation_bytes)))
        .with(Series::bars("logits", gigabytes(&|plan| plan.memory.logit_bytes)))
        .with(Series::bars("fragments and runtime", gigabytes(&rest)))
        .with(Series::new("may be used", Mark::Dashes, across(room)))
        .with(Series::new("there is", Mark::Dashes, across(hardware.memory_bytes / 1e9)))
}
