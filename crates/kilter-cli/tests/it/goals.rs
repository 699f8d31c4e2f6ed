//! Several directions, and what a trial must measure up to.

use crate::room::{LOSS, Room, numbers, python};

/// `loss` falls and `latency` rises with x.
fn room() -> Room {
    let room = Room::new();
    room.script("t.py", "import sys\nx = float(sys.argv[1])\nprint(f'loss={(1 - x) ** 2}\\nlatency={10 * x}')\n");
    room
}

fn tune(room: &Room, more: &[&str]) -> crate::room::Said {
    let words = ["tune", "--metric", LOSS, "--metric", "latency=([0-9.eE+-]+)", "--param", "x=0..1", "--seed", "4"];
    let command = ["--", python(), "t.py", "{x}"];
    room.kilter(words.iter().chain(more).chain(&command))
}

#[test]
fn several_directions_give_a_front() {
    let room = room();
    let said = tune(&room, &["--minimize=loss", "--minimize=latency", "--trials", "12"]).done();
    assert!(said.out.starts_with("front of 12 trials: loss "), "{}", said.out);
    assert!(said.out.contains("hypervolume  "), "{}", said.out);
    assert!(said.err.contains("smallest loss and smallest latency of 1 hyperparameter"), "{}", said.err);
    let front = room.line("best --json").done().json();
    assert_eq!(front.as_array().unwrap().len(), 12, "all lie on one curve");
    room.line("best").done().says("front of 12 trials");
    room.line("studies").done().says("front of 12").says("loss, latency");
    let said =
        tune(&room, &["--minimize=loss", "--maximize=latency", "--trials", "5", "--json", "--study", "one"]).done();
    assert_eq!(said.json()["best"].as_array().unwrap().len(), 1, "the largest x is best in both");
    assert_eq!(room.trials_of(&["one"])[0]["values"].as_array().unwrap().len(), 2);
}

#[test]
fn goals_keep_the_order_in_which_they_are_written() {
    let room = room();
    let goals = |said: crate::room::Said| {
        said.done();
        let study = room.line("studies --json").done().json()["studies"].as_array().unwrap().last().unwrap().clone();
        let goal = |goal: &serde_json::Value| format!("{} {}", goal["better"], goal["metric"]).replace('"', "");
        study["goals"].as_array().unwrap().iter().map(goal).collect::<Vec<_>>()
    };
    let all = ["--maximize=latency", "--minimize=loss", "--maximize=wall_seconds", "--minimize=peak_bytes"];
    let told = goals(tune(&room, &[&all[..], &["--trials", "2"]].concat()));
    assert_eq!(told, ["higher latency", "lower loss", "higher wall_seconds", "lower peak_bytes"]);
    let head = room.line("trials").done().out.lines().nth(1).unwrap().to_owned();
    assert!(head.find("latency").unwrap() < head.find("loss").unwrap(), "{head}");
    let file =
        "command = \"true {x}\"\nmaximize = [\"b\", \"a\"]\nminimize = \"c\"\ntrials = 1\n[parameters]\nx = \"0..1\"\n";
    std::fs::write(room.at("kilter.toml"), file).unwrap();
    room.line("tune").with(1);
    let goals = goals(room.line("studies"));
    assert_eq!(goals, ["higher b", "higher a", "lower c"]);
}

#[test]
fn every_trial_has_its_time_as_a_metric() {
    let room = room();
    tune(&room, &["--minimize=loss", "--minimize=wall_seconds", "--trials", "3", "--quiet"]).done();
    for trial in room.trials() {
        assert_eq!(trial["values"][1], trial["wall_seconds"]);
        assert!(trial["values"][1].as_f64().unwrap() > 0.0);
    }
}

#[test]
fn only_what_is_required_is_best() {
    let room = room();
    let said = tune(&room, &["--minimize=loss", "--require", "latency <= 6", "--trials", "12"]).done();
    assert!(said.out.contains("infeasible"), "{}", said.out);
    let trials = room.trials();
    let latency = |t: &serde_json::Value| t["metrics"]["latency"].as_f64().unwrap();
    let best = room.line("best --json").done().json();
    assert!(latency(&best) <= 6.0);
    let feasible = trials.iter().filter(|t| t["feasible"] == true);
    let wanted = feasible.max_by(|a, b| latency(a).total_cmp(&latency(b))).unwrap();
    assert_eq!(best["number"], wanted["number"]);
    for trial in &trials {
        assert_eq!(trial["feasible"].as_bool().unwrap(), latency(trial) <= 6.0);
        assert_eq!(trial["violations"][0].as_f64().unwrap(), latency(trial) - 6.0);
    }
    let missed = numbers(&room.trials_of(&["--where", "violation > 0"]));
    room.line("trials").done().says("complete (infeasible)");
    room.line(&format!("show {}", missed[0])).done().says("required latency <= 6: missed by ");
}

#[test]
fn where_nothing_keeps_what_is_required_the_nearest_is_told() {
    let room = room();
    let said = tune(&room, &["--minimize=loss", "--require", "latency <= -1", "--trials", "3"]).done();
    assert!(said.out.contains("no trial of t keeps what is required: latency <= -1"), "{}", said.out);
    room.line("best").with(1).remarks("--sort violation");
}

#[test]
fn goals_that_cannot_be_are_refused() {
    let room = room();
    let refuse = |more: &[&str], remark: &str| {
        let said = tune(&room, more).with(2);
        assert!(said.err.contains(remark), "{}", said.err);
    };
    refuse(&["--minimize=loss", "--maximize=loss"], "`loss` is given two directions");
    refuse(&["--minimize", "--maximize=latency"], "each must name its metric");
    refuse(&["--minimize=loss", "--minimize=latencey"], "did you mean `latency`?");
    refuse(&["--minimize=loss", "--require", "latencey <= 3"], "did you mean `latency`?");
    refuse(&["--minimize=loss", "--require", "latency = 3"], "equality is written ==");
    refuse(&["--minimize=loss", "--stop-when", "los < 3"], "did you mean `loss`?");
    refuse(&["--minimize=loss", "--minimize=latency", "--pruner", "median"], "a pruner judges by one metric");
    refuse(&["--minimize=loss", "--budget", "2 weeks"], "--budget \"2 weeks\"");
    refuse(&["--minimize=loss", "--budget", "1h", "--budget", "2h"], "given twice");
    assert!(!room.exists("kilter.db"));
}
