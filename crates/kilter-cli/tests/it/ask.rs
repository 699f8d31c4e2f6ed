//! One question and one answer at a time, from a shell.

use crate::room::{Room, states};

#[test]
fn a_shell_loop_asks_and_tells() {
    let room = Room::new();
    let ask = "ask bench --param size=int:1..20 --minimize=seconds --trials 12 --seed 3 --json";
    for i in 0..12 {
        let asked = room.line(ask).done().json();
        assert_eq!((asked["study"].as_str(), asked["number"].as_u64()), (Some("bench"), Some(i)));
        let seconds = (asked["params"]["size"].as_f64().unwrap() - 7.0).abs();
        room.line(&format!("tell {i} seconds={seconds} --study bench"))
            .done()
            .says(&format!("trial {i} of bench is complete"));
    }
    let said = room.line(ask).with(1).remarks("12 trials were wanted");
    assert!(said.json()["number"].is_null());
    assert_eq!(states(&room.trials())["complete"], 12);
    assert!(room.trials()[3]["wall_seconds"].as_f64().unwrap() >= 0.0);
    room.line("best").done().says("seconds ");
}

#[test]
fn what_was_asked_waits_for_its_answer_as_long_as_it_takes() {
    let room = Room::new();
    room.line("ask s --param x=0..1 --minimize=loss")
        .done()
        .says("trial 0 of s")
        .remarks("kilter tell 0 loss=… --study s");
    room.line("ask s").done().says("trial 1 of s");
    assert_eq!(states(&room.trials())["running"], 2);
    room.line("tell 1 loss=0.5").done().says("trial 1 of s is complete, the best so far");
    room.line("tell 0 loss=0.75 extra=3").done().says("trial 0 of s is complete\n");
    let trial = &room.trials()[0];
    assert_eq!((trial["values"][0].as_f64(), trial["metrics"]["extra"].as_f64()), (Some(0.75), Some(3.0)));
    room.line("ask").done();
    room.kilter(["tell", "2", "--failed", "out of memory"]).done().says("trial 2 of s is failed");
    assert_eq!(room.trials()[2]["failure"]["message"], "out of memory");
}

#[test]
fn answers_that_fit_nothing_are_refused_and_change_nothing() {
    let room = Room::new();
    room.line("ask s --param x=0..1 --minimize=loss").done();
    room.line("tell 0 los=0.5").with(2).remarks("`los` is given where loss=NUMBER is needed");
    room.line("tell 0 loss=nan").with(2).remarks("--failed WHY");
    room.line("tell 0 loss").with(2).remarks("NAME=NUMBER");
    room.line("tell 7 loss=1").with(2).remarks("the last is 0");
    room.line("ask s --param x=0..2 --minimize=loss").with(2).remarks("with other hyperparameters");
    room.line("ask s --minimize=loss").with(2).remarks("--param");
    room.line("ask --param x=0..1 --minimize=loss").with(2).remarks("a name");
    assert_eq!(states(&room.trials()), [("running".to_owned(), 1)].into());
    room.line("tell 0 loss=1").done();
    room.line("tell 0 loss=2").with(2).remarks("it is complete already");
}
