//! What a plan is asked about: the model, the devices, what is fixed and presumed.

use kilter_laws::parallel::{Accounting, Assumptions, Bounds, HARDWARE, Hardware, Model, Recompute};
use kilter_space::{Value, nearest};

use super::Cluster;
use crate::arch;
use crate::fault::Fault;
use crate::pairs::setting;

/// A model by name, by sizes, or by a file.
pub fn model(args: &Cluster) -> Result<Model, Fault> {
    let text = match (&args.arch, &args.model) {
        (Some(path), _) => {
            let name = path.file_stem().map_or_else(|| "model".into(), |stem| stem.to_string_lossy());
            return Model::of_shape(&name, &arch::read(path, args.seq_len)?)
                .map_err(|why| Fault::call(format!("--arch {}: {why}", path.display())));
        }
        (None, Some(text)) => text.as_str(),
        (None, None) => return Err(Fault::call("say which model, as in gpt-1.3b or --arch FILE")),
    };
    arch::named(text)
}

pub fn hardware(name: &str) -> Result<&'static Hardware, Fault> {
    Hardware::named(name).ok_or_else(|| {
        let names = HARDWARE.iter().map(|hardware| hardware.name);
        let near = nearest(name, names.clone()).map_or(String::new(), |near| format!("did you mean `{near}`? "));
        Fault::call(format!("--hardware {name}: {near}known are {}", names.collect::<Vec<_>>().join(", ")))
    })
}

/// What `--set` fixes and presumes.
pub fn settings(args: &Cluster, hardware: &mut Hardware) -> Result<(Bounds, Assumptions), Fault> {
    let mut bounds = Bounds { cross_node: args.cross_node, ..Bounds::default() };
    let mut assumptions = Assumptions::default();
    for text in &args.set {
        let (name, value) = setting(text)?;
        let wrong = |wanted: &str| Fault::call(format!("--set {text}: it is {wanted}"));
        let whole = || match value {
            Value::Int(n) => u64::try_from(n).map_err(|_| wrong("a count")),
            _ => Err(wrong("a whole number")),
        };
        let within = |low: f64, high: f64| {
            let number = value.as_f64().filter(|number| (low..=high).contains(number));
            number.ok_or_else(|| wrong(&format!("from {low} to {high}")))
        };
        match name.as_str() {
            "tp" => bounds.tp = Some(whole()?),
            "pp" => bounds.pp = Some(whole()?),
            "micro_batch" => bounds.micro_batch = Some(whole()?),
            "interleave" => bounds.interleave = Some(whole()?),
            "zero_stage" => bounds.zero = Some(within(0.0, 3.0).and(whole())? as u8),
            "sequence_parallel" => match value {
                Value::Bool(wanted) => bounds.sequence_parallel = Some(wanted),
                _ => return Err(wrong("true or false")),
            },
            "recompute" => {
                let wanted = Recompute::ALL.into_iter().find(|recompute| value.as_str() == Some(recompute.name()));
                bounds.recompute = Some(wanted.ok_or_else(|| wrong("none, selective or full"))?);
            }
            "accounting" => {
                let wanted = Accounting::ALL.into_iter().find(|accounting| value.as_str() == Some(accounting.name()));
                assumptions.accounting = wanted.ok_or_else(|| wrong("paper14, adam16 or adam18"))?;
            }
            "overlap_dp" => assumptions.overlap = within(0.0, 1.0)?,
            "headroom" => assumptions.headroom = within(0.0, 0.3)?,
            "eff" => hardware.eff = within(1e-3, 1.0)?,
            other => {
                let known = [
                    "tp",
                    "pp",
                    "micro_batch",
                    "zero_stage",
                    "interleave",
                    "recompute",
                    "sequence_parallel",
                    "overlap_dp",
                    "headroom",
                    "accounting",
                    "eff",
                ];
                let near = nearest(other, known).map_or(known.join(", "), |near| format!("did you mean `{near}`?"));
                return Err(Fault::call(format!("--set {text}: there is no `{other}`; {near}")));
            }
        }
    }
    Ok((bounds, assumptions))
}
