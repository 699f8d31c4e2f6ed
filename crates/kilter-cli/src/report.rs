//! `kilter report`: from inside a trial, in any language.

use std::process::ExitCode;

use clap::Args;
use kilter_study::process::{Client, WireError};
use serde_json::json;

use crate::fault::Fault;
use crate::style::Voice;

#[derive(Debug, Args)]
#[command(
    after_help = "Prints `go`, or `stop` and why: then end soon, or be ended.\n\nExample, inside a training script:\n  \
                  kilter report --step 3 loss=0.2 accuracy=0.91"
)]
pub struct Report {
    /// Figures: NAME=NUMBER
    #[arg(value_name = "NAME=NUMBER", required = true)]
    pub figures: Vec<String>,
    /// The step they belong to [default: the next]
    #[arg(long, value_name = "N")]
    pub step: Option<u64>,
}

/// Reports figures; prints `go`, or `stop` and why.
pub fn report(args: &Report, voice: &Voice) -> Result<ExitCode, Fault> {
    let figure = |text: &str| -> Result<(String, f64), Fault> {
        let wrong = || Fault::call(format!("{text:?} is no figure; write NAME=NUMBER, for example loss=0.2"));
        let (name, number) = text.split_once('=').filter(|(name, _)| !name.trim().is_empty()).ok_or_else(wrong)?;
        Ok((name.trim().to_owned(), number.trim().parse().map_err(|_| wrong())?))
    };
    let figures = args.figures.iter().map(|text| figure(text)).collect::<Result<Vec<_>, _>>()?;
    let figures: Vec<(&str, f64)> = figures.iter().map(|(name, number)| (name.as_str(), *number)).collect();
    let told = |why: WireError| match why {
        WireError::NotInTrial => Fault::call(why),
        WireError::Lost(_) => Fault::work(why),
    };
    let reply = Client::from_environment().map_err(told)?.report(args.step, &figures).map_err(told)?;
    let stop = reply.stop.map(|why| why.to_string());
    if voice.json {
        voice.document(&json!({ "go": stop.is_none(), "why": stop }))?;
    } else {
        voice.say(&stop.map_or_else(|| "go".to_owned(), |why| format!("stop {why}")))?;
    }
    Ok(ExitCode::SUCCESS)
}
