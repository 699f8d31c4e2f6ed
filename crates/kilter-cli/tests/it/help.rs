//! The help of every verb.

use crate::room::Room;

fn help(verb: &str) {
    let room = Room::new();
    let words: Vec<&str> = verb.split_whitespace().chain(["--help"]).collect();
    let said = room.kilter(words).done();
    assert_eq!(said.err, "");
    let name = if verb.is_empty() { "kilter" } else { verb };
    insta::assert_snapshot!(name, said.out);
    assert!(room.files().is_empty());
}

macro_rules! helps {
    ($($test:ident: $verb:literal,)*) => { $(
        #[test]
        fn $test() {
            help($verb);
        }
    )* };
}

helps! {
    of_kilter: "",
    of_tune: "tune",
    of_resume: "resume",
    of_reproduce: "reproduce",
    of_merge: "merge",
    of_quantize: "quantize",
    of_studies: "studies",
    of_trials: "trials",
    of_best: "best",
    of_show: "show",
    of_logs: "logs",
    of_recipes: "recipes",
    of_samplers: "samplers",
    of_pruners: "pruners",
    of_report: "report",
}

#[test]
fn every_verb_has_its_help_tested() {
    let said = Room::new().kilter(["--help"]).done();
    let verbs: Vec<&str> = said
        .out
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next().filter(|verb| !verb.is_empty()))
        .collect();
    assert_eq!(
        verbs,
        [
            "tune",
            "resume",
            "reproduce",
            "merge",
            "quantize",
            "studies",
            "trials",
            "best",
            "show",
            "logs",
            "recipes",
            "samplers",
            "pruners",
            "report"
        ]
    );
}

#[test]
fn no_word_at_all_shows_the_help_and_is_a_wrong_call() {
    Room::new().kilter::<&str>([]).with(2).remarks("kilter tune breast-cancer --trials 50");
}

#[test]
fn the_version_is_told() {
    let said = Room::new().kilter(["--version"]).done();
    assert_eq!(said.out.trim(), format!("kilter {}", env!("CARGO_PKG_VERSION")));
}
