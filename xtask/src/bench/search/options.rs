//! What `cargo xtask bench search` is asked for.

/// The call, read.
#[cfg_attr(not(feature = "judge"), allow(dead_code, reason = "this build hands over what it cannot do"))]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// No peers.
    pub ours_only: bool,
    /// A look in minutes: few problems, few seeds, a small budget.
    pub quick: bool,
    /// Names, groups, or beginnings with `*`; none: all but groups that must be named.
    pub problems: Vec<String>,
    /// Names; none: all.
    pub methods: Vec<String>,
    /// Seeds of each cell.
    pub seeds: u64,
    /// The largest budget, in trials.
    pub budget: u64,
    /// Cells at a time.
    pub workers: Option<usize>,
    /// Only print what was computed before.
    pub report: bool,
    /// Only list problems and methods.
    pub list: bool,
    /// What peers came to is kept with the project.
    pub keep: bool,
}

/// The largest budget that is judged; the others are 50 and 100.
const BUDGET: u64 = 200;

/// A group that is searched when it is named only: too many for every day.
pub const FURTHER: &str = "further";

/// The group of problems that nothing was decided by, searched when it is named only: it shows how what was chosen elsewhere
/// carries over.
pub const HELD_OUT: &str = "held-out";

/// As many as the issue of noise needs: the mean regret's interval is then about ± a quarter of the seeds' deviation.
const SEEDS: u64 = 20;

pub const USAGE: &str = "\
cargo xtask bench search [--ours-only] [--quick] [--problems A,B] [--methods A,B] [--seeds N] [--budget N] [--workers N]
                         [--report] [--list] [--keep]
  problems: names, groups (tables, functions, …) or beginnings with a star (lcbench*); methods: a kilter sampler as
  written for --sampler, with a pruner after a plus (tpe:startup=20+median), or a peer (optuna-tpe); --list shows all.
  The groups further and held-out are searched only if they are named";

impl Options {
    /// Reads the words after `search`.
    ///
    /// # Errors
    /// Names the word that is none, and what there is.
    pub fn read(words: &[&str]) -> Result<Self, String> {
        let mut options = Self {
            ours_only: false,
            quick: false,
            problems: Vec::new(),
            methods: Vec::new(),
            seeds: 0,
            budget: 0,
            workers: None,
            report: false,
            list: false,
            keep: false,
        };
        let mut words = words.iter().copied();
        while let Some(word) = words.next() {
            let (name, given) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
            let mut value =
                || given.or_else(|| words.next()).ok_or_else(|| format!("bench search: {name} needs a value\n{USAGE}"));
            match name {
                "--ours-only" => options.ours_only = true,
                "--quick" => options.quick = true,
                "--report" => options.report = true,
                "--list" => options.list = true,
                "--keep" => options.keep = true,
                "--help" => return Err(format!("the search benchmark is called as\n{USAGE}")),
                "--problems" => options.problems = list(value()?),
                "--methods" => options.methods = list(value()?),
                "--seeds" => options.seeds = number(name, value()?)?,
                "--budget" => options.budget = number(name, value()?)?,
                "--workers" => options.workers = Some(number(name, value()?)? as usize),
                _ => return Err(format!("bench search knows no {word}; it is called as\n{USAGE}")),
            }
        }
        let or = |given: u64, full: u64, quick: u64| match given {
            0 if options.quick => quick,
            0 => full,
            given => given,
        };
        (options.seeds, options.budget) = (or(options.seeds, SEEDS, 5), or(options.budget, BUDGET, 50));
        Ok(options)
    }

    #[cfg_attr(not(feature = "judge"), allow(dead_code, reason = "this build hands over what it cannot do"))]
    /// Is a problem of this name and group asked for? Groups that must be named are searched only then.
    pub fn wants_problem(&self, name: &str, group: &str) -> bool {
        (self.problems.is_empty() && ![FURTHER, HELD_OUT].contains(&group))
            || self.problems.iter().any(|wanted| match wanted.strip_suffix('*') {
                Some(beginning) => name.starts_with(beginning),
                None => wanted == name || wanted == group,
            })
    }
}

fn number(name: &str, value: &str) -> Result<u64, String> {
    let number = value.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| format!("bench search: {name} {value} must be a whole number above 0"))
}

/// Parts between commas; one such as `startup=20` is a further option of the sampler before it.
fn list(text: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        match parts.last_mut() {
            Some(before) if part.contains('=') && !part.contains(':') => {
                before.push(',');
                before.push_str(part);
            }
            _ => parts.push(part.to_owned()),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_samplers_options_stay_with_it() {
        assert_eq!(list("tpe:startup=5,candidates=48,random"), ["tpe:startup=5,candidates=48", "random"]);
        assert_eq!(list("tpe, random"), ["tpe", "random"]);
    }

    #[test]
    fn what_is_no_option_is_named() {
        let no = |words: &[&str]| Options::read(words).unwrap_err();
        assert!(no(&["--seed", "3"]).contains("knows no --seed"));
        assert!(no(&["--seeds", "0"]).contains("--seeds 0 must be"));
        assert!(no(&["--problems"]).contains("--problems needs a value"));
    }

    #[test]
    fn quick_is_smaller_unless_told() {
        let read = |words: &[&str]| Options::read(words).map(|options| (options.seeds, options.budget)).unwrap();
        assert_eq!(read(&[]), (20, 200));
        assert_eq!(read(&["--quick"]), (5, 50));
        assert_eq!(read(&["--quick", "--seeds=7"]), (7, 50));
    }

    #[test]
    fn problems_are_chosen_by_name_group_or_beginning() {
        let options = Options::read(&["--problems", "branin,tables,lcbench*"]).unwrap();
        assert!(options.wants_problem("branin", "functions"));
        assert!(options.wants_problem("svm-digits", "tables"));
        assert!(options.wants_problem("lcbench-3945", "surrogates"));
        assert!(!options.wants_problem("levy4", "functions"));
        let all = Options::read(&[]).unwrap();
        assert!(all.wants_problem("levy4", "functions"));
        assert!(!all.wants_problem("lcbench-3945", FURTHER) && !all.wants_problem("lcbench-3945", HELD_OUT));
        assert!(Options::read(&["--problems", FURTHER]).unwrap().wants_problem("lcbench-3945", FURTHER));
    }
}
