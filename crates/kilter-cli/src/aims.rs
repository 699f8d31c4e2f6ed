//! What is better, what is required, and how much is enough: the options, read into types.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use kilter_space::Expr;
use kilter_study::{BUILT_IN_METRICS, Better, Goal, Limits, StudySpec, measures_energy};

use crate::fault::Fault;
use crate::study_file::Origin;

/// Directions, requirements and limits of a study.
#[derive(Debug, Default, Args)]
pub struct Aims {
    #[command(flatten)]
    pub directions: Directions,
    /// What a trial must measure up to, to be the best: 'latency_ms <= 10' (repeatable)
    #[arg(long, value_name = "CONDITION", help_heading = "What is better")]
    pub require: Vec<String>,
    /// After so much no trial begins any more: 2h of running
    #[arg(long, value_name = "TIME or ENERGY", allow_hyphen_values = true, help_heading = "How much")]
    pub budget: Vec<String>,
    /// As soon as this holds no trial begins any more: 'loss < 0.01 or without_improvement >= 30'
    #[arg(
        long,
        value_name = "CONDITION",
        help_heading = "How much",
        long_help = "As soon as this holds no trial begins any more. It speaks of metrics (their best value so far), trials, \
                       complete, pruned, failed (how many have ended, and how), without_improvement (how many since the best), \
                       elapsed_seconds. Example: 'loss < 0.01 or without_improvement >= 30'"
    )]
    pub stop_when: Option<String>,
}

/// `--minimize` and `--maximize`, each as often as one likes.
#[derive(Clone, Debug, Default)]
pub struct Directions {
    /// Which way, of which metric (empty: of the only one), in the order in which they were written.
    given: Vec<(Better, String)>,
}

/// The two options, and what each of them means.
const OPTIONS: [(&str, Better, &str); 2] = [
    (
        "minimize",
        Better::Lower,
        "Smaller is better, of the only metric or of METRIC (repeatable; several directions give a front instead of one best)",
    ),
    (
        "maximize",
        Better::Higher,
        "Larger is better; metrics that every trial has: wall_seconds, cpu_seconds, peak_bytes, energy_joules",
    ),
];

impl Args for Directions {
    fn augment_args(command: Command) -> Command {
        OPTIONS.into_iter().fold(command, |command, (name, _, help)| {
            let option = Arg::new(name).long(name).value_name("METRIC").action(ArgAction::Append).help(help);
            let option = option.num_args(0..=1).require_equals(true).default_missing_value("");
            command.arg(option.help_heading("What is better"))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Directions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut given = Self::default();
        given.update_from_arg_matches(matches)?;
        Ok(given)
    }

    /// Those of `matches` come behind those that are here.
    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let mut further = Vec::new();
        for (name, better, _) in OPTIONS {
            let metrics = matches.get_many::<String>(name).into_iter().flatten().cloned();
            let places = matches.indices_of(name).into_iter().flatten();
            further.extend(places.zip(metrics).map(|(place, metric)| (place, (better, metric))));
        }
        further.sort_by_key(|(place, _)| *place);
        self.given.extend(further.into_iter().map(|(_, direction)| direction));
        Ok(())
    }
}

/// A direction as given: the metric may be left open.
pub struct Direction {
    pub metric: Option<String>,
    pub better: Better,
}

impl Directions {
    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.given.is_empty()
    }

    /// The option that was written without a metric, if one was.
    pub fn bare(&self) -> Option<&'static str> {
        let (better, _) = self.given.iter().find(|(_, metric)| metric.is_empty())?;
        OPTIONS.iter().find(|(_, of, _)| of == better).map(|(name, ..)| *name)
    }

    /// The directions, in their order.
    pub fn read(&self) -> Result<Vec<Direction>, Fault> {
        let direction = |(better, metric): &(Better, String)| Direction {
            metric: Some(metric.clone()).filter(|metric| !metric.is_empty()),
            better: *better,
        };
        let all: Vec<Direction> = self.given.iter().map(direction).collect();
        if all.len() > 1 && all.iter().any(|direction| direction.metric.is_none()) {
            return Err(Fault::call(
                "of several directions each must name its metric, as in --minimize=loss --minimize=wall_seconds",
            ));
        }
        if let Some(twice) = all.iter().enumerate().find_map(|(i, direction)| {
            let before = all[..i].iter().any(|other| other.metric == direction.metric);
            direction.metric.as_deref().filter(|_| before)
        }) {
            return Err(Fault::call(format!("`{twice}` is given two directions; drop one")));
        }
        Ok(all)
    }

    /// Goals whose metrics are all named: there is nothing that could tell which one is meant.
    pub fn by_name(&self) -> Result<Vec<Goal>, Fault> {
        let directions = self.read()?;
        if directions.is_empty() {
            return Err(Fault::call("say what is better: --minimize=METRIC or --maximize=METRIC"));
        }
        let goal = |Direction { metric, better }| {
            let metric =
                metric.ok_or_else(|| Fault::call("name the metric: --minimize=METRIC or --maximize=METRIC"))?;
            Ok(Goal { metric, better })
        };
        directions.into_iter().map(goal).collect()
    }
}

impl Aims {
    /// Is any direction or requirement given?
    pub fn are_given(&self) -> bool {
        !(self.directions.is_empty() && self.require.is_empty())
    }

    /// What trials must measure up to.
    pub fn requirements(&self) -> Result<Vec<Expr>, Fault> {
        let read = |text: &String| Expr::parse(text).map_err(|why| Fault::call(format!("--require: {why}")));
        self.require.iter().map(read).collect()
    }

    /// When the study has had enough.
    pub fn limits(&self) -> Result<Limits, Fault> {
        let mut limits = Limits::default();
        for text in &self.budget {
            let twice = match energy(text) {
                Some(joules) => limits.joules.replace(joules).is_some(),
                None => {
                    limits.seconds.replace(seconds("--budget", text, " or energy such as 500Wh or 5kWh")?).is_some()
                }
            };
            if twice {
                return Err(Fault::call("--budget is given twice; one for time and one for energy may stand together"));
            }
        }
        if let Some(text) = self.stop_when.as_deref().filter(|text| !text.trim().is_empty()) {
            limits.stop_when = Some(Expr::parse(text).map_err(|why| Fault::call(format!("--stop-when: {why}")))?);
        }
        Ok(limits)
    }
}

/// Requirements and conditions must speak of what there is. `metrics` are all that trials give, if that is known.
pub fn check(spec: &StudySpec, metrics: Option<&[&str]>, from: &Origin<'_>) -> Result<(), Fault> {
    // Without a meter a budget would never end, and every trial would lack its metric.
    let names_energy = spec.goals.iter().any(|goal| goal.metric == "energy_joules");
    if (names_energy || spec.limits.joules.is_some()) && !measures_energy() {
        let why = "the energy of trials cannot be measured here: no counter in /sys/class/powercap can be read (see the \
                   README of kilter-meter), and there is no NVIDIA GPU";
        return Err(Fault::call(why));
    }
    let required = spec.check_requirements(metrics).map_err(|why| Fault::call(format!("--require: {why}")));
    required.map_err(from.option(&["require"]))?;
    let stop = spec.limits.check(metrics).map_err(|why| Fault::call(format!("--stop-when: {why}")));
    stop.map_err(from.option(&["stop_when"]))
}

/// Is it a metric that every trial has?
pub fn is_built_in(metric: &str) -> bool {
    BUILT_IN_METRICS.contains(&metric)
}

/// `5kWh`, `500Wh`, `90kJ` in joules; nothing, if the text has another unit.
fn energy(text: &str) -> Option<f64> {
    let (number, unit) = text.split_at(text.trim_end_matches(char::is_alphabetic).len());
    let factor = match unit {
        "J" => 1.0,
        "kJ" => 1e3,
        "MJ" => 1e6,
        "Wh" => 3600.0,
        "kWh" => 3.6e6,
        _ => return None,
    };
    let joules = number.trim().parse::<f64>().ok()? * factor;
    (joules > 0.0 && joules.is_finite()).then_some(joules)
}

/// `90`, `30s`, `10m`, `2h`, `1d` in seconds.
pub fn seconds(option: &str, text: &str, or: &str) -> Result<f64, Fault> {
    let wrong = || Fault::call(format!("{option} {text:?}: write a time such as 30s, 10m or 2h{or}"));
    let (number, unit) = text.split_at(text.trim_end_matches(char::is_alphabetic).len());
    let factor = match unit {
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => return Err(wrong()),
    };
    let seconds = number.trim().parse::<f64>().map_err(|_| wrong())? * factor;
    // Duration's own limit is some 5e11 years.
    if seconds > 0.0 && std::time::Duration::try_from_secs_f64(seconds).is_ok() { Ok(seconds) } else { Err(wrong()) }
}
