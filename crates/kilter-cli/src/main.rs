//! The `kilter` command: one binary, the verbs. See `kilter --help`.

mod aims;
mod apply;
mod arch;
mod args;
mod ask;
mod barrier;
mod best;
mod cluster;
mod command;
mod completions;
mod data;
mod enqueue;
mod export;
mod fault;
mod figure;
mod hint;
mod import;
mod logs;
mod look;
mod measure;
mod merge;
mod pairs;
mod picture;
mod place;
mod plan;
mod predict;
mod progress;
mod quantize;
mod recipes;
mod rename;
mod report;
mod reproduce;
mod resume;
mod retry;
mod samplers;
mod scaling;
mod scorer;
mod session;
mod show;
mod space;
mod statistics;
mod stop;
mod storage;
mod studies;
mod study_file;
mod style;
mod subject;
mod summary;
mod table;
mod table_file;
mod tag;
mod throughput;
mod train;
mod trials;
mod tune;
mod weights;
mod worker;

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use kilter_study::process;

use crate::args::{Cli, Verb};
use crate::fault::Fault;

fn main() -> ExitCode {
    // A file that may not grow (`ulimit -f`) is heard of by whoever writes it. Caught and not ignored: trials would inherit
    // that.
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default());
    kilter_meter::keep_large_blocks();
    // This binary is also the supervisor of every trial and the process of every recipe's trial.
    let mut words = std::env::args_os().skip(1);
    match words.next().as_deref().and_then(OsStr::to_str) {
        Some(process::SUPERVISE) => return process::supervise(),
        Some(process::RUN_TASK) => {
            let file = words.next().unwrap_or_default();
            return process::run_task(Path::new(&file), kilter_recipes::find);
        }
        _ => {}
    }
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(why) => {
            let code = if why.use_stderr() { 2 } else { 0 };
            // A closed pipe is nothing to complain about.
            let _ = why.print();
            return ExitCode::from(code);
        }
    };
    let voice = style::Voice::new(&cli.how);
    match run(cli, &voice) {
        Ok(code) => code,
        Err(fault) => {
            voice.complain(&fault);
            fault.code()
        }
    }
}

fn run(cli: Cli, voice: &style::Voice) -> Result<ExitCode, Fault> {
    match cli.verb {
        Verb::Tune(args) => tune::tune(*args, voice),
        Verb::Predict(args) => predict::predict(&args, voice),
        Verb::Plan(args) => cluster::plan(&args, voice),
        Verb::Train(args) => train::train(&args, voice),
        Verb::Apply(args) => apply::apply(&args, voice),
        Verb::Space(args) => space::space(&args, voice),
        Verb::Worker(args) => worker::worker(&args, voice),
        Verb::Storage(args) => storage::storage(&args, voice),
        Verb::Resume(args) => resume::resume(&args, voice),
        Verb::Reproduce(args) => reproduce::reproduce(&args, voice),
        Verb::Measure(args) => measure::measure(&args, voice),
        Verb::Data(args) => data::data(&args, voice),
        Verb::Merge(args) => merge::merge(&args, voice),
        Verb::Quantize(args) => quantize::quantize(&args, voice),
        Verb::Trials(args) => trials::trials(&args, voice),
        Verb::Best(args) => best::best(&args, voice),
        Verb::Show(args) => show::show(&args, voice),
        Verb::Logs(args) => logs::logs(&args, voice),
        Verb::Studies(args) => studies::studies(&args, voice),
        Verb::Recipes(args) => recipes::recipes(&args, voice),
        Verb::Samplers(args) => samplers::samplers(&args, voice),
        Verb::Pruners(args) => samplers::pruners(&args, voice),
        Verb::Stop(args) => stop::stop(&args, voice),
        Verb::Export(args) => export::export(&args, voice),
        Verb::Import(args) => import::import(&args, voice),
        Verb::Enqueue(args) => enqueue::enqueue(&args, voice),
        Verb::Retry(args) => retry::retry(&args, voice),
        Verb::Tag(args) => tag::tag(&args, voice),
        Verb::Rename(args) => rename::rename(&args, voice),
        Verb::Copy(args) => rename::copy(&args, voice),
        Verb::Delete(args) => rename::delete(&args, voice),
        Verb::Ask(args) => ask::ask(&args, voice),
        Verb::Tell(args) => ask::tell(&args, voice),
        Verb::Completions(args) => completions::completions(&args),
        Verb::Man(args) => completions::man(&args, voice),
        Verb::Report(args) => report::report(&args, voice),
    }
}
