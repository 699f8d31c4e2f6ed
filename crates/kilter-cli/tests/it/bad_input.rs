//! Calls that are wrong: exit 2 (or 4, the storage), a message that says what would be right, and nothing on the disk.

use std::fs;

use crate::room::{LOSS, Room};

/// A folder with a script that would do, were the call right.
fn room() -> Room {
    let room = Room::new();
    room.script("train.sh", "#!/bin/sh\necho loss=1\n");
    room
}

fn refuse(name: &str, code: i32, words: &[&str]) {
    let room = room();
    let said = room.kilter(words).with(code);
    assert_eq!(said.out, "", "a refusal is no result");
    assert_eq!(room.files(), ["train.sh"], "a refused call leaves nothing behind");
    insta::assert_snapshot!(name, said.err, &words.join(" "));
}

macro_rules! refused {
    ($($name:ident: [$($word:expr),* $(,)?],)*) => { $(
        #[test]
        fn $name() {
            refuse(stringify!($name), 2, &[$($word),*]);
        }
    )* };
}

macro_rules! unreachable_storage {
    ($($name:ident: [$($word:expr),* $(,)?],)*) => { $(
        #[test]
        fn $name() {
            refuse(stringify!($name), 4, &[$($word),*]);
        }
    )* };
}

/// `kilter tune --metric … --minimize PARAMS -- sh train.sh WORD`
macro_rules! refused_parameters {
    ($($name:ident: [$($param:literal),*] $word:literal,)*) => { $(
        #[test]
        fn $name() {
            let mut words = vec!["tune", "--metric", LOSS, "--minimize"];
            for param in [$($param),*] {
                words.extend(["--param", param]);
            }
            words.extend(["--", "sh", "train.sh", $word]);
            refuse(stringify!($name), 2, &words);
        }
    )* };
}

refused_parameters! {
    placeholder_without_parameter: ["rate=0..1"] "{rte}",
    placeholder_far_from_any_parameter: ["rate=0..1"] "{momentum}",
    parameter_never_used: ["x=0..1", "y=0..1"] "{x}",
    low_above_high: ["x=1..0"] "{x}",
    low_equal_to_high: ["x=1..1"] "{x}",
    logarithm_of_zero: ["x=log:0..1"] "{x}",
    an_empty_choice: ["x=a||b"] "{x}",
    the_same_choice_twice: ["x=a|b|a"] "{x}",
    the_same_parameter_twice: ["x=0..1", "x=0..2"] "{x}",
    parameter_without_domain: ["x"] "{x}",
    parameter_with_empty_domain: ["x="] "{x}",
    parameter_without_name: ["=0..1"] "{x}",
    parameter_with_a_bad_name: ["1x=0..1"] "{x}",
    a_range_without_end: ["x=0..inf"] "{x}",
    a_fraction_in_an_int_range: ["x=int:1..2.5"] "{x}",
    a_step_of_zero: ["x=0..1/0"] "{x}",
    a_domain_of_no_kind: ["x=lgo:1..2"] "{x}",
    a_single_value: ["x=adam"] "{x}",
    nothing_to_search: ["x=fixed:3"] "{x}",
    a_reserved_name: ["folder=0..1"] "{folder}",
}

refused! {
    unknown_recipe: ["tune", "brest-cancer"],
    recipe_like_no_other: ["tune", "nothing-like-it"],
    nothing_at_all: ["tune"],
    recipe_and_command: ["tune", "breast-cancer", "--", "sh", "train.sh"],
    no_trials: ["tune", "breast-cancer", "--trials", "0"],
    negative_trials: ["tune", "breast-cancer", "--trials", "-1"],
    trials_in_words: ["tune", "breast-cancer", "--trials", "many"],
    no_workers: ["tune", "breast-cancer", "--workers", "0"],
    negative_seed: ["tune", "breast-cancer", "--seed", "-1"],
    unknown_metric: ["tune", "breast-cancer", "--maximize=auk"],
    unknown_metric_like_no_other: ["tune", "breast-cancer", "--minimize=perplexity"],
    unknown_sampler: ["tune", "breast-cancer", "--sampler", "tpee"],
    unknown_sampler_option: ["tune", "breast-cancer", "--sampler", "tpe:startp=3"],
    sampler_option_of_another_kind: ["tune", "breast-cancer", "--sampler", "tpe:startup=soon"],
    sampler_option_without_value: ["tune", "breast-cancer", "--sampler", "tpe:startup"],
    sampler_of_a_part_that_is_not_there: ["tune", "breast-cancer", "--sampler", "partial:knn.neighbors=3"],
    sampler_without_options: ["tune", "breast-cancer", "--sampler", "random:startup=3"],
    unknown_pruner: ["tune", "breast-cancer", "--pruner", "medain"],
    unknown_pruner_option: ["tune", "breast-cancer", "--pruner", "median:startup=3"],
    unknown_set_name: ["tune", "breast-cancer", "--set", "famly=decision_tree"],
    set_value_outside: ["tune", "breast-cancer", "--set", "family=svm"],
    set_value_misspelt: ["tune", "breast-cancer", "--set", "family=decison_tree"],
    set_number_outside: ["tune", "breast-cancer", "--set", "folds=1"],
    set_without_value: ["tune", "breast-cancer", "--set", "folds"],
    set_twice: ["tune", "breast-cancer", "--set", "folds=3", "--set", "folds=4"],
    set_and_searched: ["tune", "breast-cancer", "--set", "folds=3", "--param", "folds=int:2..4"],
    searched_twice: ["tune", "breast-cancer", "--param", "folds=int:2..3", "--param", "folds=int:2..4"],
    unknown_recipe_parameter: ["tune", "breast-cancer", "--param", "tree.depth=int:1..3"],
    bad_timeout: ["tune", "breast-cancer", "--timeout", "soon"],
    timeout_of_zero: ["tune", "breast-cancer", "--timeout", "0s"],
    negative_timeout: ["tune", "breast-cancer", "--timeout", "-5s"],
    timeout_in_an_unknown_unit: ["tune", "breast-cancer", "--timeout", "3w"],
    metric_of_a_recipe: ["tune", "breast-cancer", "--metric", LOSS],
    several_directions_without_names: ["tune", "breast-cancer", "--minimize", "--maximize=auc"],
    empty_study_name: ["tune", "breast-cancer", "--study", ""],
    unknown_option: ["tune", "breast-cancer", "--trails", "5"],
    option_of_another_program: ["tune", "breast-cancer", "--n-jobs=4"],
    goal_apart_from_its_metric: ["tune", "breast-cancer", "--maximize", "auc"],
    goal_apart_behind_two_words: ["tune", "merge", "ties", "--maximize", "auc"],
    unknown_verb: ["tnue", "breast-cancer"],
    storage_of_another_kind: ["tune", "breast-cancer", "--storage", "postgres:here"],
    storage_without_file: ["tune", "breast-cancer", "--storage", "sqlite:"],
    no_direction: ["tune", "--param", "x=0..1", "--metric", LOSS, "--", "sh", "train.sh", "{x}"],
    no_metric: ["tune", "--param", "x=0..1", "--minimize", "--", "sh", "train.sh", "{x}"],
    no_parameter: ["tune", "--metric", LOSS, "--minimize", "--", "sh", "train.sh"],
    metric_without_group:
        ["tune", "--param", "x=0..1", "--metric", "loss=[0-9.]+", "--minimize", "--", "sh", "train.sh", "{x}"],
    metric_that_is_no_pattern:
        ["tune", "--param", "x=0..1", "--metric", "loss=([0-9.]+", "--minimize", "--", "sh", "train.sh", "{x}"],
    metric_in_a_file_without_name:
        ["tune", "--param", "x=0..1", "--metric", "file:m.json", "--minimize", "--", "sh", "train.sh", "{x}"],
    direction_of_an_unknown_metric:
        ["tune", "--param", "x=0..1", "--metric", LOSS, "--minimize=lss", "--", "sh", "train.sh", "{x}"],
    direction_left_open_among_several_metrics:
        ["tune", "--param", "x=0..1", "--metric", LOSS, "--metric", "acc=([0-9.]+)", "--minimize", "--", "sh",
         "train.sh", "{x}"],
    two_metrics_of_one_name:
        ["tune", "--param", "x=0..1", "--metric", "train loss: ([0-9.]+)", "--metric", "val loss: ([0-9.]+)",
         "--minimize=loss", "--", "sh", "train.sh", "{x}"],
    metric_of_a_direction_written_apart:
        ["tune", "--param", "x=0..1", "--minimize", "loss", "--", "sh", "train.sh", "{x}"],
    command_not_found:
        ["tune", "--param", "x=0..1", "--metric", LOSS, "--minimize", "--", "no-such-program", "{x}"],
    command_in_this_folder:
        ["tune", "--param", "x=0..1", "--metric", LOSS, "--minimize", "--", "train.sh", "{x}"],
    command_file_not_found:
        ["tune", "--param", "x=0..1", "--metric", LOSS, "--minimize", "--", "./trian.sh", "{x}"],
    unknown_method: ["reproduce", "brest-cancer"],
    reproduce_without_workers: ["reproduce", "breast-cancer", "--workers", "0"],
    unknown_recipe_to_list: ["recipes", "brest-cancer"],
    unknown_sampler_to_list: ["samplers", "tep"],
    unknown_pruner_to_list: ["pruners", "medain"],
}

unreachable_storage! {
    storage_in_a_missing_folder: ["tune", "breast-cancer", "--storage", "sqlite:missing/kilter.db"],
    storage_that_is_a_folder: ["tune", "breast-cancer", "--storage", "sqlite:."],
    no_storage_for_trials: ["trials"],
    no_storage_for_best: ["best"],
    no_storage_for_resume: ["resume"],
    no_storage_for_studies: ["studies", "--storage", "sqlite:other.db"],
}

#[test]
fn a_command_that_may_not_be_run() {
    let room = room();
    fs::write(room.at("plain.sh"), "echo loss=1").unwrap();
    let said = room.kilter(["tune", "--param", "x=0..1", "--metric", LOSS, "--minimize", "--", "./plain.sh", "{x}"]);
    let said = said.with(2);
    assert_eq!(room.files(), ["plain.sh", "train.sh"]);
    insta::assert_snapshot!(said.err);
}

#[test]
fn a_database_that_is_none_is_left_as_it_is() {
    let room = room();
    let text = "a diary, and no database, long enough to be taken for one\n".repeat(20);
    fs::write(room.at("kilter.db"), &text).unwrap();
    let said = room.line("tune breast-cancer --trials 1").with(4);
    insta::assert_snapshot!("database_that_is_none", said.err);
    for verb in ["trials", "best", "show", "logs", "studies", "resume"] {
        room.kilter([verb]).with(4).remarks("not a kilter database");
    }
    assert_eq!(room.read("kilter.db"), text);
    assert_eq!(room.files(), ["kilter.db", "train.sh"]);
}

#[test]
fn studies_and_trials_that_are_not_there() {
    let room = room();
    room.line("tune breast-cancer --trials 2 --set family=decision_tree --quiet").done();
    let before = room.line("studies --json").done().out;
    let said = room.line("trials brest-cancer").with(2);
    insta::assert_snapshot!("unknown_study", said.err);
    room.line("resume brest-cancer").with(2).remarks("did you mean `breast-cancer`?");
    room.line("best --study nothing-like-it").with(2).remarks("there is no study `nothing-like-it`");
    let said = room.line("show 17").with(2);
    insta::assert_snapshot!("trial_out_of_range", said.err);
    room.line("logs 2").with(2).remarks("from 0 to 1");
    room.line("show first").with(2).remarks("first");
    let said = room.line("tune breast-cancer --study breast-cancer --trials 1").with(2);
    insta::assert_snapshot!("study_name_taken", said.err);
    room.line("resume --trials 0").with(2).remarks("at least 1");
    room.line("resume --workers 0").with(2).remarks("at least 1");
    assert_eq!(room.line("studies --json").done().out, before, "a refused call changes nothing");
}
