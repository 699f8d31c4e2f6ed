//! A tuner that is killed loses nothing and leaves nothing running.

use std::fs;

use crate::room::{LOSS, Room, Running, essence, numbers, python, send, states, wait_until};

/// Spawns a child and a daemon (its own session, orphaned twice), says that it runs, and unless the file `go` is there,
/// stays. All of them have the folder's path in their command.
const STAYING: &str = "
import os, subprocess, sys, time
script, role, folder = sys.argv[:3]
def stay():
    while True: time.sleep(0.05)
if role == 'child':
    stay()
if role == 'daemon':
    if os.fork(): os._exit(0)
    os.setsid()
    if os.fork(): os._exit(0)
    open(os.path.join(folder, 'daemon'), 'w').close()
    stay()
if not os.path.exists('go') and sys.argv[3] == '2':
    subprocess.Popen([sys.executable, script, 'child', folder])
    subprocess.Popen([sys.executable, script, 'daemon', folder], stdout=subprocess.DEVNULL)
    while not os.path.exists(os.path.join(folder, 'daemon')): time.sleep(0.01)
    open(os.path.join(folder, 'ready'), 'w').close()
    stay()
print('loss=' + sys.argv[4])
";

/// A study whose trial 2 stays.
fn begin(room: &Room, trials: &str) -> Running {
    room.script("t.py", STAYING);
    let script = room.at("t.py").to_string_lossy().into_owned();
    let words = ["tune", "--minimize", "--metric", LOSS, "--param", "x=0..1", "--trials", trials, "--"];
    let command = [python(), &script, "main", "{folder}", "{trial}", "{x}"];
    room.begin(words.into_iter().chain(command))
}

fn wait_for_trial_2(room: &Room) {
    wait_until("trial 2", || room.exists("kilter.trials/t/2/ready"));
    assert!(
        room.processes().len() >= 5,
        "the nursery, the supervisor, the command, its child, its daemon: {:?}",
        room.processes()
    );
}

/// Is this one of kilter's own processes, of this kind?
fn is(pid: u32, kind: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == kind)
}

/// Lets trials end, resumes, and expects `trials` complete ones.
fn resume(room: &Room, trials: usize) {
    fs::write(room.at("go"), "").unwrap();
    room.line("resume --json").done();
    let all = room.trials();
    assert_eq!(numbers(&all), (0..trials as u64).collect::<Vec<_>>());
    assert_eq!(states(&all).into_iter().collect::<Vec<_>>(), [("complete".to_owned(), trials)]);
}

#[test]
fn a_killed_tuner_leaves_no_process_and_resumes() {
    let room = Room::new();
    let tuner = begin(&room, "5");
    wait_for_trial_2(&room);
    tuner.kill();
    room.wait_until_empty();
    assert_eq!(states(&room.trials()).get("complete"), Some(&2));
    assert_eq!(states(&room.trials()).get("stale"), Some(&1), "nobody runs it any more");
    room.line("show 2").done().says("its worker died; it will run again with: kilter resume t");
    resume(&room, 5);
    let trials = room.trials();
    assert_eq!((trials[2]["attempt"].as_u64(), trials[3]["attempt"].as_u64()), (Some(2), Some(1)));
    room.line("show 2").done().says("attempt 2");
}

#[test]
fn a_killed_tuner_leaves_no_socket() {
    let room = Room::new();
    let runtime = room.at("run");
    fs::create_dir(&runtime).unwrap();
    room.script("t.sh", "echo $KILTER_SOCKET > socket; while :; do sleep 0.05; done\n");
    let words =
        ["tune", "--minimize", "--metric", LOSS, "--param", "x=0..1", "--trials", "1", "--", "sh", "t.sh", "{x}"];
    let tuner = room.begin(words);
    wait_until("a trial", || !room.read("socket").is_empty());
    let socket = room.read("socket").trim().to_owned();
    assert!(fs::exists(&socket).unwrap());
    tuner.kill();
    wait_until("an end of the socket's folder", || !fs::exists(&socket).unwrap());
    let folder = std::path::Path::new(&socket).parent().unwrap();
    wait_until("an end of the socket's folder", || !folder.exists());
}

#[test]
fn a_killed_supervisor_is_a_failed_trial_and_the_study_goes_on() {
    let room = Room::new();
    let tuner = begin(&room, "4");
    wait_for_trial_2(&room);
    let supervisors: Vec<u32> =
        room.processes().into_iter().map(|(pid, _)| pid).filter(|pid| is(*pid, "supervisor")).collect();
    assert_eq!(supervisors.len(), 1);
    send("KILL", supervisors[0]);
    assert_eq!(tuner.end(), Some(0));
    room.wait_until_empty();
    let trials = room.trials();
    assert_eq!(numbers(&trials), [0, 1, 2, 3]);
    assert_eq!(trials[2]["failure"]["kind"], "signal", "{}", trials[2]);
    assert_eq!(states(&trials)["complete"], 3);
}

#[test]
fn a_killed_nursery_is_replaced_and_nothing_fails() {
    let room = Room::new();
    let tuner = begin(&room, "4");
    wait_for_trial_2(&room);
    let nurseries: Vec<u32> =
        room.processes().into_iter().map(|(pid, _)| pid).filter(|pid| is(*pid, "nursery")).collect();
    assert_eq!(nurseries.len(), 1);
    send("KILL", nurseries[0]);
    assert_eq!(room.processes().iter().filter(|(pid, _)| is(*pid, "supervisor")).count(), 1, "the trial goes on");
    // It would wait for ever.
    let main =
        room.processes().into_iter().find(|(_, command)| command.contains(" main ") && !command.contains(" tune "));
    send("TERM", main.unwrap().0);
    assert_eq!(tuner.end(), Some(0));
    room.wait_until_empty();
    let trials = room.trials();
    assert_eq!(numbers(&trials), [0, 1, 2, 3]);
    assert_eq!(trials[2]["failure"]["signal"], 15, "{}", trials[2]);
    assert_eq!(states(&trials)["complete"], 3);
}

#[test]
fn a_killed_command_is_a_failed_trial_and_takes_its_daemons_along() {
    let room = Room::new();
    let tuner = begin(&room, "4");
    wait_for_trial_2(&room);
    let main =
        room.processes().into_iter().find(|(_, command)| command.contains(" main ") && !command.contains(" tune "));
    send("KILL", main.unwrap().0);
    assert_eq!(tuner.end(), Some(0));
    room.wait_until_empty();
    let trials = room.trials();
    assert_eq!(
        (trials[2]["failure"]["kind"].as_str(), trials[2]["failure"]["signal"].as_u64()),
        (Some("signal"), Some(9))
    );
    assert!(room.read("err").contains("trial 2 failed: ended by signal 9"), "{}", room.read("err"));
}

#[test]
fn a_resumed_study_equals_an_uninterrupted_one() {
    let words = "tune breast-cancer --set family=decision_tree --sampler tpe:startup=4 --trials 14 --seed 3";
    let whole = Room::new();
    whole.line(&format!("{words} --quiet")).done();
    let room = Room::new();
    let mut tuner = room.begin(words.split_whitespace());
    // Killed as soon as these trials begin, then as soon as this many trials have left their last report.
    for number in [0, 3, 5, 9, 12] {
        let begun = format!("kilter.trials/breast-cancer/{number}/task.json");
        wait_until(&begun, || room.exists(&begun) || tuner.has_ended());
        tuner.kill();
        tuner = room.begin(["resume"]);
    }
    assert_eq!(tuner.end(), Some(0), "{}", room.read("err"));
    assert_eq!(essence(&room.trials()), essence(&whole.trials()));
    assert_eq!(states(&room.trials())["complete"], 14);
}

#[test]
fn several_workers_killed_together_lose_no_trial() {
    let room = Room::new();
    room.script("t.sh", "echo >> \"$2/begun\"; while [ ! -e go ] && [ $1 -ge 2 ]; do sleep 0.02; done; echo loss=$1\n");
    let script = room.at("t.sh").to_string_lossy().into_owned();
    let words = ["tune", "--minimize", "--metric", LOSS, "--param", "x=0..1", "--trials", "8", "--workers", "3"];
    let tuner = room.begin(words.into_iter().chain(["--", "sh", &script, "{trial}", "{folder}", "{x}"]));
    wait_until("three at a time", || (2..5).all(|n| room.exists(&format!("kilter.trials/t/{n}/begun"))));
    tuner.kill();
    room.wait_until_empty();
    resume(&room, 8);
}

#[test]
fn a_trial_whose_tuner_dies_again_and_again_is_given_up() {
    let room = Room::new();
    let mut tuner = begin(&room, "4");
    for _ in 0..10 {
        let _ = fs::remove_file(room.at("kilter.trials/t/2/ready"));
        let _ = fs::remove_file(room.at("kilter.trials/t/2/daemon"));
        wait_until("trial 2 or the end", || room.exists("kilter.trials/t/2/ready") || tuner.has_ended());
        if tuner.has_ended() {
            break;
        }
        tuner.kill();
        room.wait_until_empty();
        tuner = room.begin(["resume"]);
    }
    assert_eq!(tuner.end(), Some(0));
    let trials = room.trials();
    assert_eq!(trials[2]["failure"]["kind"], "worker_lost");
    assert_eq!(states(&trials)["complete"], 3);
}

#[test]
fn two_tuners_of_one_study_share_its_trials() {
    let room = Room::new();
    room.script("t.sh", "echo $PPID >> who; while [ ! -e go ]; do sleep 0.02; done; echo loss=1\n");
    let words =
        ["tune", "--minimize", "--metric", LOSS, "--param", "x=0..1", "--trials", "6", "--", "sh", "t.sh", "{x}"];
    let one = room.begin(words);
    wait_until("the first", || room.read("who").lines().count() == 1);
    let two = room.begin(["resume", "--quiet"]);
    wait_until("the second", || room.read("who").lines().count() == 2);
    fs::write(room.at("go"), "").unwrap();
    assert_eq!((one.end(), two.end()), (Some(0), Some(0)));
    let trials = room.trials();
    assert_eq!(numbers(&trials), (0..6).collect::<Vec<_>>());
    assert_eq!(states(&trials)["complete"], 6);
    assert_eq!(room.read("who").lines().count(), 6, "no trial ran twice");
}

/// A trial with a child of its own, that reports while it runs, for as long as chance has it.
const BUSY: &str = "
import random, subprocess, sys, time
script, role = sys.argv[:2]
if role == 'child':
    time.sleep(5)
    sys.exit()
subprocess.Popen([sys.executable, script, 'child', sys.argv[2]])
for step in range(random.randrange(6)):
    print('loss=' + str(1 + step), flush=True)
    time.sleep(0.01)
print('loss=' + sys.argv[3], flush=True)
";

/// How many rounds; `KILTER_CRASH_ROUNDS=200` for the long run.
pub fn rounds() -> u64 {
    std::env::var("KILTER_CRASH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(5)
}

#[test]
fn whatever_is_killed_whenever_the_counts_add_up_and_nothing_survives() {
    const TRIALS: u64 = 6;
    let mut hits = std::collections::BTreeMap::new();
    for round in 0..rounds() {
        let mut chance = kilter_numerics::Stream::new(&[round], "crash rounds");
        let room = Room::new();
        room.script("t.py", BUSY);
        let script = room.at("t.py").to_string_lossy().into_owned();
        let words = ["tune", "--quiet", "--minimize", "--metric", LOSS, "--param", "x=0..1", "--study", "t"];
        // A tuner may die more often than a trial is begun anew by default.
        let more = [
            "--retries",
            "9",
            "--trials",
            "6",
            "--workers",
            "2",
            "--sampler",
            "random",
            "--",
            python(),
            &script,
            "main",
            "{folder}",
            "{x}",
        ];
        let mut tuner = room.begin(words.into_iter().chain(more));
        let mut killed_trials = 0;
        // Some kills at random moments, each at the tuner, a supervisor or anything of a trial.
        for _ in 0..1 + chance.below(3) {
            let moment = std::time::Duration::from_micros(chance.below(350_000));
            let began = std::time::Instant::now();
            while began.elapsed() < moment && !tuner.has_ended() {
                std::thread::yield_now();
            }
            let target = ["tuner", "nursery", "supervisor", "trial"][chance.below(4) as usize];
            if target == "tuner" {
                tuner.kill();
                room.wait_until_empty();
                tuner = room.begin(["resume", "t", "--quiet"]);
            } else {
                let of_trials: Vec<(u32, String)> =
                    room.processes().into_iter().filter(|(pid, _)| *pid != tuner.id()).collect();
                let kind =
                    |pid: u32| ["nursery", "supervisor"].into_iter().find(|kind| is(pid, kind)).unwrap_or("trial");
                let found = of_trials.iter().find(|(pid, _)| kind(*pid) == target);
                let Some((pid, _)) = found else { continue };
                // It may have ended a moment ago.
                let _ =
                    std::process::Command::new("sh").arg("-c").arg(format!("kill -KILL {pid} 2>/dev/null")).status();
                killed_trials += 1;
            }
            *hits.entry(target).or_insert(0) += 1;
        }
        let code = tuner.end();
        room.wait_until_empty();
        // Killed before it stored the study, it left none.
        if !room.exists("kilter.db")
            || room.line("studies --json").done().json()["studies"].as_array().unwrap().is_empty()
        {
            continue;
        }
        if code != Some(0) {
            room.line("resume t --quiet").done();
        }
        let trials = room.trials();
        assert_eq!(numbers(&trials), (0..TRIALS).collect::<Vec<_>>(), "round {round}");
        let states = states(&trials);
        let (complete, failed) = (states.get("complete").unwrap_or(&0), states.get("failed").unwrap_or(&0));
        assert_eq!(complete + failed, TRIALS as usize, "round {round}: {states:?}");
        assert!(*failed <= killed_trials, "round {round}: {failed} failed by {killed_trials} kills: {trials:?}");
        for trial in trials.iter().filter(|trial| trial["state"] == "complete") {
            assert_eq!(trial["values"][0], trial["params"]["x"], "round {round}: the last figure is the whole trial's");
        }
        room.line("storage check").done().says("is whole");
    }
    println!("{} rounds; killed: {hits:?}", rounds());
}
