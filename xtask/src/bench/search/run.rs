//! The whole course: problems and methods, the cells that are missing, the judgement.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use super::cell::{Cell, Cells, Searched};
use super::figure;
use super::judge::Section;
use super::kept::Kept;
use super::method::{Method, PEERS};
use super::options::Options;
use super::page::{duels, page};
use super::peer::{PACKAGES, Peers};
use super::problem::{GROUPS, Problem, problems, text};
use super::reference;
use crate::bench::peer::Python;

/// Budgets that are judged, in trials.
const BUDGETS: [u64; 3] = [50, 100, 200];

/// Searches what is missing, and judges.
pub fn bench(options: &Options, target: &Path) -> Result<(), String> {
    if options.list {
        return list(target);
    }
    let folder = target.join("bench/search");
    std::fs::create_dir_all(&folder).map_err(|why| format!("cannot make {}: {why}", folder.display()))?;
    let problems = problems(&|name, group| options.wants_problem(name, group), Some(target))?;
    let missed = |wanted: &&String| {
        let one = Options { problems: vec![(*wanted).clone()], ..options.clone() };
        !problems.iter().any(|problem| one.wants_problem(&problem.name, problem.group))
    };
    if let Some(unknown) = options.problems.iter().find(missed) {
        return Err(format!(
            "there is no problem {unknown} here; cargo xtask bench search --list shows those there are"
        ));
    }
    let mut methods = match options.methods.as_slice() {
        [] => Method::all(),
        names => names.iter().map(|name| Method::named(name)).collect::<Result<_, _>>()?,
    };
    let peers = match options.ours_only || methods.iter().all(Method::is_ours) {
        true => None,
        false => match Python::prepare(target, "search-venv", PACKAGES).and_then(Peers::new) {
            Ok(peers) => Some(Arc::new(peers)),
            Err(why) => {
                println!("no peers, kilter alone: {why}");
                None
            }
        },
    };
    let kept = Kept::read(&problems)?;
    if peers.is_none() {
        methods.retain(|method| method.is_ours() || kept.version(method.name()).is_some());
    }
    let kilter = fingerprint()?;
    let version = |method: &Method| match (method, &peers) {
        (Method::Peer(peer), Some(peers)) => {
            format!("{} {}", peer.package, peers.versions.get(peer.package).map_or("?", String::as_str))
        }
        (Method::Peer(peer), None) => kept.version(peer.name).unwrap_or("?").to_owned(),
        (Method::Ours(_), _) => format!("kilter {kilter}"),
    };
    let wanted = wanted(options, &problems, &methods, &version);
    let cells = Cells::open(&folder.join("cells.db"))?;
    let mut failed = Vec::new();
    if !options.report {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let before = kept.searched();
        let mut missing = wanted.clone();
        missing.retain(|cell| {
            let is_kept = before.get(&cell.bare()).is_some_and(|found| found.budget >= cell.budget);
            !is_kept && (peers.is_some() || PEERS.iter().all(|peer| peer.name != cell.method))
        });
        failed = cells.search(missing, &problems, peers.clone(), options.workers.unwrap_or(cores))?;
    }
    let mut searched = cells.searched(&wanted, &problems)?;
    for (cell, found) in kept.searched() {
        if searched.get(&cell).is_none_or(|here| here.budget < found.budget) {
            searched.insert(cell, found);
        }
    }
    if options.keep {
        println!("{} searches of peers are kept in testdata/bench/peers", kept.keep(&searched)?);
    }
    let sections = sections(options, &problems, &methods, &wanted, &searched);
    let ours: Vec<String> = methods.iter().filter(|m| m.is_ours()).map(|m| m.name().to_owned()).collect();
    println!();
    for section in &sections {
        println!("{}", page(section));
        println!("{}", duels(section, &ours));
        println!("{}", reference::page(section)?);
    }
    for (cell, why) in &failed {
        let why = why.lines().next_back().unwrap_or_default();
        println!("failed: {} on {} under seed {}: {why}", cell.method, cell.problem, cell.seed);
    }
    let versions: serde_json::Value = methods.iter().map(|m| (m.name().to_owned(), json!(version(m)))).collect();
    let judged: Vec<serde_json::Value> = sections.iter().map(Section::to_json).collect();
    let sheet = json!({ "versions": versions, "seeds": options.seeds, "sections": judged });
    let file = folder.join("search.json");
    std::fs::write(&file, format!("{sheet:#}\n")).map_err(|why| format!("cannot write {}: {why}", file.display()))?;
    println!("Everything: {}", file.display());
    for (section, name) in sections.iter().map(|section| (section, section.file)) {
        let picture = folder.join(format!("{name}-curves.svg"));
        figure::curves(section, &picture)?;
        println!("Curves: {}", picture.display());
        if let Some(ranks) = (0..section.budgets.len()).rev().find_map(|budget| section.ranks(budget)) {
            let picture = folder.join(format!("{name}-ranks.svg"));
            figure::ranks(section, &ranks, &picture)?;
            println!("Ranks: {}", picture.display());
        }
    }
    Ok(())
}

/// The cells of the call: seeds before methods, so that a stop leaves whole rounds behind.
fn wanted(
    options: &Options,
    problems: &[Arc<Problem>],
    methods: &[Method],
    version: &dyn Fn(&Method) -> String,
) -> Vec<Cell> {
    let mut cells = Vec::new();
    for seed in 0..options.seeds {
        for method in methods {
            for problem in problems.iter().filter(|problem| method.fits(problem)) {
                cells.push(Cell {
                    method: method.name().to_owned(),
                    version: version(method),
                    problem: problem.name.clone(),
                    seed,
                    budget: options.budget,
                });
            }
        }
    }
    cells
}

fn sections(
    options: &Options,
    problems: &[Arc<Problem>],
    methods: &[Method],
    wanted: &[Cell],
    searched: &HashMap<Cell, Searched>,
) -> Vec<Section> {
    let mut budgets: Vec<u64> = BUDGETS.into_iter().filter(|budget| *budget <= options.budget).collect();
    if budgets.is_empty() {
        budgets.push(options.budget);
    }
    let mut by_pair: HashMap<(String, String), Vec<Searched>> = HashMap::new();
    for cell in wanted {
        if let Some(found) = searched.get(&cell.bare()) {
            by_pair.entry((cell.problem.clone(), cell.method.clone())).or_default().push(found.clone());
        }
    }
    let names: Vec<String> = methods.iter().map(|method| method.name().to_owned()).collect();
    let of = |title: &'static str, file: &'static str, fits: &dyn Fn(&Problem) -> bool| {
        let mut chosen: Vec<&Problem> = problems.iter().map(|p| &**p).filter(|problem| fits(problem)).collect();
        chosen.sort_by_key(|problem| GROUPS.iter().position(|group| *group == problem.group));
        chosen.retain(|p| by_pair.keys().any(|(name, _)| *name == p.name));
        Section::new((title, file), &chosen, &names, &budgets, &by_pair)
    };
    let sections = [
        of("One goal", "one-goal", &|problem| problem.goals().len() == 1 && !problem.has_fidelity()),
        of("Two goals", "two-goals", &|problem| problem.goals().len() > 1),
        of("Trials in steps (a budget counts steps, as whole trials)", "steps", &Problem::has_fidelity),
    ];
    sections.into_iter().filter(|section| !section.problems.is_empty()).collect()
}

/// A fingerprint of the rooms whose change may change what kilter's samplers propose: what was searched with other
/// sources is not mixed with what is searched now.
fn fingerprint() -> Result<String, String> {
    let program = std::env::current_exe().and_then(std::fs::metadata).and_then(|of| of.modified()).map_err(text)?;
    let mut files = Vec::new();
    for room in ["kilter-numerics", "kilter-space", "kilter-search"] {
        gather(&crate::root().join("crates").join(room).join("src"), &mut files)?;
    }
    files.sort();
    let mut hash = 0xCBF2_9CE4_8422_2325_u64;
    for file in files {
        if std::fs::metadata(&file).and_then(|of| of.modified()).is_ok_and(|changed| changed > program) {
            let changed = file.display();
            return Err(format!("{changed} was changed after this was built; start it by cargo xtask bench search"));
        }
        let bytes = std::fs::read(&file).map_err(|why| format!("cannot read {}: {why}", file.display()))?;
        hash = bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01B3));
    }
    Ok(format!("{:08x}", (hash >> 32) ^ (hash & 0xFFFF_FFFF)))
}

fn gather(folder: &Path, files: &mut Vec<std::path::PathBuf>) -> Result<(), String> {
    for entry in std::fs::read_dir(folder).map_err(|why| format!("cannot read {}: {why}", folder.display()))? {
        let path = entry.map_err(text)?.path();
        if path.is_dir() {
            gather(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

fn list(target: &Path) -> Result<(), String> {
    println!("problems");
    for problem in problems(&|_, _| true, Some(target))? {
        println!("  {:<12} {:<28} {}", problem.group, problem.name, problem.about);
    }
    println!("methods");
    for method in Method::all() {
        let about = match &method {
            Method::Peer(peer) => peer.about,
            Method::Ours(_) => "kilter's",
        };
        println!("  {:<24} {about}", method.name());
    }
    println!("  {} peers; kilter's also as written for --sampler, with a pruner after a plus", PEERS.len());
    Ok(())
}
