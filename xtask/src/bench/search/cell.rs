//! Cells: one search of one problem by one method under one seed. They are the trials of a kilter study, so that they
//! are kept, never done twice, and several processes can share them.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use kilter_numerics::Stream;
use kilter_space::{Choice, Chooser, Config, Domain, Entry, Halt, Int, Name, Outline, Value, Walk};
use kilter_study::{
    Ask, Better, Change, Conduct, EndState, Event, Failure, Flow, Goal, History, Interrupt, Limits, Metric, Next,
    NoPruner, Outcome, Proposal, Recipe, Run, Sampler, SearchError, Sqlite, State, Storage, Study, StudySpec, Workers,
};

use super::method::{Method, search_ours};
use super::peer::Peers;
use super::problem::{Problem, Sitting, text};

/// What is to be known of a cell.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cell {
    pub method: String,
    /// Of kilter the fingerprint of the rooms that search, of a peer its version: another one is another cell.
    pub version: String,
    pub problem: String,
    pub seed: u64,
    pub budget: u64,
}

/// A cell that was searched.
#[derive(Clone, Debug)]
pub struct Searched {
    /// Where the regret sank: after how many whole trials, and to what.
    pub sinks: Vec<(f64, f64)>,
    pub budget: u64,
    /// CPU seconds of the searcher.
    pub cpu_seconds: f64,
}

impl Searched {
    /// The regret after so many whole trials; none if the cell went less far, or had nothing to show by then.
    pub fn regret(&self, trials: u64) -> Option<f64> {
        let before = self.sinks.iter().take_while(|(spent, _)| *spent <= trials as f64);
        (trials <= self.budget).then(|| before.last().map(|(_, regret)| *regret))?
    }
}

const REGRET: &str = "regret";
const CPU_SECONDS: &str = "cpu_seconds";

impl Cell {
    fn outline(known: &[Vec<String>; 3]) -> Result<Outline, String> {
        let choice = |name: &str, values: &[String]| {
            let values = values.iter().map(|value| Value::from(value.as_str())).collect();
            Entry::new(name, Domain::Choice(Choice::new(values).map_err(text)?)).map_err(text)
        };
        let whole =
            |name: &str, high: i64| Entry::new(name, Domain::Int(Int::new(0, high).map_err(text)?)).map_err(text);
        let [methods, versions, problems] = known;
        let entries = vec![
            choice("method", methods)?,
            choice("version", versions)?,
            choice("problem", problems)?,
            whole("seed", 1_000_000)?,
            whole("budget", 1_000_000)?,
        ];
        Outline::new(entries).map_err(text)
    }

    fn config(&self) -> Result<Config, String> {
        let answers = [
            ("method", Value::from(self.method.as_str())),
            ("version", Value::from(self.version.as_str())),
            ("problem", Value::from(self.problem.as_str())),
            ("seed", Value::Int(self.seed as i64)),
            ("budget", Value::Int(self.budget as i64)),
        ];
        let named = answers.into_iter().map(|(name, value)| Ok((Name::new(name).map_err(text)?, value)));
        Ok(Config::new(named.collect::<Result<_, String>>()?))
    }

    fn of(config: &Config) -> Option<Self> {
        let word = |name: &str| config.text(name).ok().map(str::to_owned);
        let number = |name: &str| config.int(name).ok().and_then(|i| u64::try_from(i).ok());
        Some(Self {
            method: word("method")?,
            version: word("version")?,
            problem: word("problem")?,
            seed: number("seed")?,
            budget: number("budget")?,
        })
    }

    /// The same cell with no budget yet.
    pub fn bare(&self) -> Self {
        Self { budget: 0, ..self.clone() }
    }
}

/// Proposes the cells that nobody has searched yet, in order.
struct Missing {
    wanted: std::vec::IntoIter<Cell>,
    /// The largest budget of each cell that is searched or being searched.
    there: HashMap<Cell, u64>,
    /// The cells by trial.
    opened: HashMap<u64, Cell>,
    /// Set with the first proposal: what failed before is tried again, what fails from then on is not, until the next
    /// call.
    begun: bool,
}

impl Sampler for Missing {
    fn observe(&mut self, new: &[Event], _: &History) {
        for event in new {
            let Some(number) = event.number else { continue };
            match &event.change {
                Change::Opened(opened) | Change::Queued(opened) => {
                    let Some(cell) = Cell::of(&opened.config) else { continue };
                    let budget = self.there.entry(cell.bare()).or_default();
                    *budget = cell.budget.max(*budget);
                    self.opened.insert(number, cell);
                }
                Change::Ended(end) if end.state == EndState::Failed && !self.begun => {
                    if let Some(cell) = self.opened.get(&number) {
                        self.there.remove(&cell.bare());
                    }
                }
                _ => {}
            }
        }
    }

    fn next(&mut self, ask: &Ask<'_>) -> Result<Next, SearchError> {
        self.begun = true;
        let there = &self.there;
        let missing = |cell: &Cell| there.get(&cell.bare()).is_none_or(|budget| *budget < cell.budget);
        let Some(cell) = self.wanted.find(missing) else {
            return Ok(Next::Done("every cell is searched".to_owned()));
        };
        let config = cell.config().map_err(SearchError::Unsuitable)?;
        Ok(Next::Try(Proposal::new(config, &Stream::new(&[ask.number], "cell"))))
    }
}

/// Searches a cell: a recipe, as everything that a study runs.
struct Search {
    outline: Outline,
    metrics: [Metric; 2],
    problems: HashMap<String, Arc<Problem>>,
    peers: Option<Arc<Peers>>,
}

impl Walk for Search {
    fn walk(&self, chooser: &mut dyn Chooser) -> Result<(), Halt> {
        self.outline.walk(chooser)
    }

    fn outline(&self) -> Option<&Outline> {
        Some(&self.outline)
    }
}

impl Recipe for Search {
    fn name(&self) -> &str {
        "search"
    }

    fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    fn run(&self, config: &Config, run: &mut Run) -> Result<Outcome, Failure> {
        let cell = Cell::of(config).ok_or_else(|| Failure::refused("no cell"))?;
        let problem = self.problems.get(&cell.problem).ok_or_else(|| {
            // A cell that an interrupted call with other problems left waiting.
            Failure::refused(format!("{} is not among the problems of this call", cell.problem))
        })?;
        let sitting = Arc::new(Sitting::new(problem.clone(), cell.budget));
        let method = Method::named(&cell.method).map_err(Failure::refused)?;
        let cpu_seconds = match (method, &self.peers) {
            (Method::Ours(name), _) => search_ours(&name, &sitting, cell.seed),
            (Method::Peer(peer), Some(peers)) => peers.search(peer.name, &sitting, cell.seed),
            (Method::Peer(_), None) => Err("there are no peers in this call".to_owned()),
        };
        let cpu_seconds = cpu_seconds.map_err(Failure::refused)?;
        let course = sitting.course();
        for (spent, regret) in &course.sinks {
            if let Flow::Stop(_) = run.report(*spent, &[(REGRET, *regret)]) {
                break;
            }
        }
        let (_, regret) = course.sinks.last().copied().unwrap_or((0, f64::NAN));
        Ok(Outcome::new([(REGRET, regret), (CPU_SECONDS, cpu_seconds)]))
    }
}

/// The study of all cells ever searched here.
pub struct Cells {
    storage: Arc<dyn Storage>,
    /// Held while the study's space is extended: of two processes that begin at once neither may undo what the other added.
    lock: std::path::PathBuf,
}

/// Its name in `target/bench/search/cells.db`: `kilter trials --study cells` shows it too.
const STUDY: &str = "cells";

impl Cells {
    /// Opens the study's file, or makes it.
    pub fn open(file: &Path) -> Result<Self, String> {
        Ok(Self { storage: Arc::new(Sqlite::open(file).map_err(text)?), lock: file.with_extension("lock") })
    }

    fn hold(&self, wanted: Vec<Cell>) -> Result<Study, String> {
        let lock = std::fs::File::create(&self.lock).map_err(text)?;
        lock.lock().map_err(text)?;
        let mut known: [Vec<String>; 3] = Default::default();
        let studies = self.storage.studies().map_err(text)?;
        let sampler = |wanted: &[Cell]| {
            let wanted = wanted.to_vec();
            Box::new(Missing {
                wanted: wanted.into_iter(),
                there: HashMap::new(),
                opened: HashMap::new(),
                begun: false,
            })
        };
        let entry = studies.into_iter().find(|study| study.spec.name == STUDY);
        let held = entry.map(|entry| {
            Study::hold(self.storage.clone(), entry.id, entry.spec, sampler(&wanted), Box::new(NoPruner)).map_err(text)
        });
        let held = held.transpose()?;
        if let Some(study) = &held {
            for (place, name) in ["method", "version", "problem"].into_iter().enumerate() {
                if let Domain::Choice(choice) = &study.spec().outline.entry(name).map_err(text)?.domain {
                    known[place] = choice.values().iter().filter_map(Value::as_str).map(str::to_owned).collect();
                }
            }
        }
        let before = known.clone();
        for cell in &wanted {
            for (known, word) in known.iter_mut().zip([&cell.method, &cell.version, &cell.problem]) {
                if !known.contains(word) {
                    known.push(word.clone());
                }
            }
        }
        match held {
            Some(study) if known == before => Ok(study),
            Some(mut study) => {
                study.change_space(&Cell::outline(&known)?, &[]).map_err(text)?;
                Ok(study)
            }
            None => {
                let spec = StudySpec {
                    name: STUDY.to_owned(),
                    outline: Cell::outline(&known)?,
                    goals: vec![Goal::minimize(REGRET)],
                    sampler: "what is missing".to_owned(),
                    pruner: "none".to_owned(),
                    seed: 0,
                    trials: None,
                    conduct: Conduct::default(),
                    requirements: Vec::new(),
                    limits: Limits::default(),
                    plan: serde_json::Value::Null,
                };
                Study::create(self.storage.clone(), spec, sampler(&wanted), Box::new(NoPruner)).map_err(text)
            }
        }
    }

    /// Searches what is missing of `wanted`; says how far it is. Gives what failed: the cell, and why.
    pub fn search(
        &self,
        wanted: Vec<Cell>,
        problems: &[Arc<Problem>],
        peers: Option<Arc<Peers>>,
        workers: usize,
    ) -> Result<Vec<(Cell, String)>, String> {
        let searched = self.searched(&wanted, problems)?;
        let is_left = |cell: &&Cell| searched.get(&cell.bare()).is_none_or(|found| found.budget < cell.budget);
        let (whole, mut done) = (wanted.iter().filter(is_left).count(), 0);
        if whole == 0 {
            return Ok(Vec::new());
        }
        let mut study = self.hold(wanted)?;
        let search = Search {
            outline: study.spec().outline.clone(),
            metrics: [Metric::new(REGRET, Better::Lower), Metric::new(CPU_SECONDS, Better::Lower)],
            problems: problems.iter().map(|problem| (problem.name.clone(), problem.clone())).collect(),
            peers,
        };
        let how = Workers {
            count: workers,
            time_limit: None,
            folder: std::env::temp_dir(),
            interrupt: Interrupt::new(),
            devices: kilter_study::devices::Devices::shared(),
        };
        let recipe: Arc<dyn Recipe> = Arc::new(search);
        let (started, mut failed, mut said) = (std::time::Instant::now(), Vec::new(), std::time::Instant::now());
        println!(
            "{whole} cells to search, {workers} at a time; what is searched is kept, so that a stop loses nothing"
        );
        study
            .optimize(&recipe, &how, &mut |tick| {
                let Some(row) = tick.ended else { return };
                done += 1;
                let cell = Cell::of(row.config());
                if let (Some(cell), Some(end)) = (&cell, row.end.as_ref().filter(|_| row.state == State::Failed)) {
                    let why = end.failure.as_ref().map_or_else(String::new, ToString::to_string);
                    failed.push((cell.clone(), why));
                }
                if said.elapsed().as_secs() >= 10 || done == whole {
                    said = std::time::Instant::now();
                    let seconds = started.elapsed().as_secs_f64();
                    let left = seconds / done as f64 * whole.saturating_sub(done) as f64;
                    let last = cell.map_or_else(String::new, |cell| format!("{} on {}", cell.method, cell.problem));
                    println!("{done} of {whole} cells, about {:.0} min left; last {last}", (left / 60.0).ceil());
                }
            })
            .map_err(text)?;
        Ok(failed)
    }

    /// What is known of `wanted`, whatever its budget: the farthest search of each, by the cell without its budget.
    pub fn searched(&self, wanted: &[Cell], problems: &[Arc<Problem>]) -> Result<HashMap<Cell, Searched>, String> {
        let steps: HashMap<&str, u64> = problems.iter().map(|p| (p.name.as_str(), p.steps)).collect();
        let asked: HashSet<Cell> = wanted.iter().map(Cell::bare).collect();
        let mut found: HashMap<Cell, Searched> = HashMap::new();
        if !self.storage.studies().map_err(text)?.iter().any(|study| study.spec.name == STUDY) {
            return Ok(found);
        }
        let study = self.hold(Vec::new())?;
        for row in study.history().rows().filter(|row| row.state == State::Complete) {
            let Some(cell) = Cell::of(row.config()).filter(|cell| asked.contains(&cell.bare())) else { continue };
            if found.get(&cell.bare()).is_none_or(|before| before.budget < cell.budget) {
                let whole = steps.get(cell.problem.as_str()).map_or(1.0, |steps| *steps as f64);
                let sinks = row.curve(REGRET).map(|(spent, regret)| (spent as f64 / whole, regret)).collect();
                let cpu_seconds = row.value(CPU_SECONDS).unwrap_or(f64::NAN);
                found.insert(cell.bare(), Searched { sinks, budget: cell.budget, cpu_seconds });
            }
        }
        Ok(found)
    }
}
