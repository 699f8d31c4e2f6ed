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

/// The verbs that the general help lists.
fn verbs() -> Vec<String> {
    let said = Room::new().kilter(["--help"]).done();
    let listed = said.out.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let name =
        |line: &str| line.strip_prefix("  ")?.split(' ').next().filter(|verb| !verb.is_empty()).map(str::to_owned);
    listed.filter_map(name).collect()
}

#[test]
fn the_general_help_and_that_of_every_verb() {
    let verbs = verbs();
    assert!(verbs.iter().any(|verb| verb == "tune"), "{verbs:?}");
    help("");
    for verb in verbs {
        help(&verb);
    }
    for verb in ["data list", "data get", "data path", "data verify", "measure diagnosis"] {
        help(verb);
    }
}

/// An example can be copied: no line of it is cut in two, and where a command goes on, it says so.
#[test]
fn every_verb_has_an_example_that_fits_a_terminal() {
    let subjects = |verb: &str| -> Vec<String> {
        let said = Room::new().kilter([verb, "--help"]).done();
        let listed =
            said.out.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
        let word =
            |line: &str| line.strip_prefix("  ")?.split(' ').next().map(str::to_owned).filter(|word| !word.is_empty());
        listed.filter_map(word).map(|word| format!("{verb} {word}")).collect()
    };
    let verbs = verbs();
    let all: Vec<String> = verbs.iter().flat_map(|verb| subjects(verb)).chain(verbs.iter().cloned()).collect();
    assert!(all.iter().any(|verb| verb == "predict step-law"), "{all:?}");
    for verb in all {
        let said = Room::new().kilter(verb.split(' ').chain(["--help"])).done();
        let mut examples = said.out.lines().skip_while(|line| !line.starts_with("Example"));
        assert!(examples.next().is_some(), "{verb} has no example");
        let mut goes_on = false;
        for line in examples.filter(|line| !line.is_empty()) {
            assert!(line.chars().count() <= 80, "{verb}: {line}");
            assert_eq!(goes_on, line.starts_with("      "), "{verb}: {line}");
            goes_on = line.ends_with('\\');
        }
    }
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
