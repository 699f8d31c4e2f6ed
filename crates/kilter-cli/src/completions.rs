//! `kilter completions` and `kilter man`: what shells and manuals need, made from the one table of verbs.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;
use kilter_space::nearest;

use crate::args::Cli;
use crate::fault::Fault;
use crate::style::Voice;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    kilter completions bash > ~/.local/share/bash-completion/completions/kilter\n  \
    kilter completions zsh > ~/.zfunc/_kilter            (with ~/.zfunc in fpath)\n  \
    kilter completions fish > ~/.config/fish/completions/kilter.fish")]
pub struct Completions {
    /// For this shell [default: the one in $SHELL]
    #[arg(value_name = "SHELL", value_enum)]
    pub shell: Option<Shell>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  kilter man tune | man -l -\n  kilter man --out ~/.local/share/man/man1")]
pub struct Man {
    /// The verb whose page is printed [default: kilter's own]
    #[arg(value_name = "VERB", conflicts_with = "out")]
    pub verb: Option<String>,
    /// Write the pages of all verbs into this folder
    #[arg(long, short, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
}

/// The table of verbs, under the name people type.
fn kilter() -> Command {
    Cli::command().bin_name("kilter")
}

/// `kilter completions`
pub fn completions(args: &Completions) -> Result<ExitCode, Fault> {
    let shell = args.shell.or_else(Shell::from_env).ok_or_else(|| {
        Fault::call("which shell? Name one, as in: kilter completions bash (or zsh, fish, elvish, powershell)")
    })?;
    // clap_complete panics where it cannot write: a closed pipe is met here instead.
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut kilter(), "kilter", &mut text);
    std::io::stdout().lock().write_all(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// `kilter man`
pub fn man(args: &Man, voice: &Voice) -> Result<ExitCode, Fault> {
    let mut all = kilter();
    if let Some(folder) = &args.out {
        std::fs::create_dir_all(folder)?;
        clap_mangen::generate_to(all, folder)?;
        voice.remark(&format!(
            "the pages of all verbs are in {}; read one with: man -l {0}/kilter-tune.1",
            folder.display()
        ));
        return Ok(ExitCode::SUCCESS);
    }
    all.build();
    let page = match &args.verb {
        None => all,
        Some(verb) => all.find_subcommand(verb).cloned().ok_or_else(|| {
            let verbs = all.get_subcommands().map(Command::get_name);
            let advice = nearest(verb, verbs)
                .map_or_else(|| "`kilter --help` lists them".to_owned(), |near| format!("did you mean `{near}`?"));
            Fault::call(format!("there is no verb `{verb}`; {advice}"))
        })?,
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(page).render(&mut text)?;
    std::io::stdout().lock().write_all(&text)?;
    Ok(ExitCode::SUCCESS)
}
