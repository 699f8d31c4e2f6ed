//! The plans that fit as a space: what a launcher can search with real runs.

use std::fmt::Write as _;
use std::path::Path;

use kilter_laws::parallel::{Found, Plan};

use crate::fault::Fault;

/// One number of a plan.
type Degree = fn(&Plan) -> u64;

/// The degrees of the plans that fit, as a space: what a launcher can search with real runs.
pub fn write_space(out: &Path, found: &Found, best: &Plan) -> Result<(), Fault> {
    let like_best = |plan: &&Plan| {
        let (a, b) = (&plan.strategy, &best.strategy);
        (a.interleave, a.recompute, a.sequence_parallel) == (b.interleave, b.recompute, b.sequence_parallel)
    };
    let plans: Vec<&Plan> = found.plans.iter().filter(like_best).collect();
    let values = |of: Degree| {
        let mut all: Vec<u64> = plans.iter().map(|plan| of(plan)).collect();
        all.sort_unstable();
        all.dedup();
        all
    };
    let degrees: [(&str, Degree); 4] = [
        ("tp", |plan| plan.strategy.tp),
        ("pp", |plan| plan.strategy.pp),
        ("micro_batch", |plan| plan.strategy.micro_batch),
        ("zero_stage", |plan| u64::from(plan.strategy.zero)),
    ];
    let list = |values: &[u64]| values.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    let mut text = String::new();
    let s = &best.strategy;
    let _ = writeln!(
        text,
        "# {} plans that fit, of {}; interleave = {}, recompute = {}, sequence_parallel = {}; {} devices.\n\
         # kilter tune --space {} --metric 'tokens=([0-9.]+)' --maximize -- ./launch.sh {{tp}} {{pp}} {{micro_batch}} {{zero_stage}}\n\
         # Let a run that fails for lack of memory print tokens=0: so the search learns where it fails.",
        plans.len(),
        found.strategies,
        s.interleave,
        s.recompute.name(),
        s.sequence_parallel,
        s.devices(),
        out.display()
    );
    for (name, of) in degrees {
        let all = values(of);
        match all.as_slice() {
            [only] => {
                let _ = writeln!(text, "[parameters.{name}]\nfixed = {only}");
            }
            several => {
                let _ = writeln!(text, "[parameters.{name}]\nordinal = [{}]\ndefault = {}", list(several), of(best));
            }
        }
    }
    // Micro-batches that go with the same other degrees share a line.
    let mut lines: Vec<([u64; 3], Vec<u64>)> = Vec::new();
    for plan in &plans {
        let key = [degrees[0].1(plan), degrees[1].1(plan), degrees[3].1(plan)];
        match lines.iter_mut().find(|(other, _)| *other == key) {
            Some((_, micro)) => micro.push(plan.strategy.micro_batch),
            None => lines.push((key, vec![plan.strategy.micro_batch])),
        }
    }
    lines.sort();
    let one = |([tp, pp, zero], micro): &mut ([u64; 3], Vec<u64>)| {
        micro.sort_unstable();
        format!("(tp == {tp} and pp == {pp} and zero_stage == {zero} and micro_batch in [{}])", list(micro))
    };
    let all: Vec<String> = lines.iter_mut().map(one).collect();
    let _ = writeln!(text, "[[constraints]]\nrequire = \"\"\"\n{}\"\"\"", all.join(" or\n"));
    std::fs::write(out, text).map_err(|why| Fault::work(format!("cannot write {}: {why}", out.display())))
}
