//! Every trial has its devices to itself, whichever process runs it.

use std::fs;

use crate::room::{LOSS, Room, states, wait_until};

/// Holds its GPU for a moment, and fails if another trial holds it too.
const EXCLUSIVE: &str = "#!/bin/sh
mkdir gpu-$CUDA_VISIBLE_DEVICES || exit 7
echo gpu=$CUDA_VISIBLE_DEVICES hip=$HIP_VISIBLE_DEVICES loss=$1
rmdir gpu-$CUDA_VISIBLE_DEVICES
";

fn room(gpus: &str) -> Room {
    let mut room = Room::new();
    let locks = room.at("locks").display().to_string();
    room.set("KILTER_LOCKS", &locks).set("KILTER_GPUS", gpus).set("CUDA_VISIBLE_DEVICES", "");
    room.script("train.sh", EXCLUSIVE);
    room
}

fn tune<'a>(more: &[&'a str], command: &[&'a str]) -> Vec<&'a str> {
    let mut words = vec!["tune", "--param", "x=0.0..1.0", "--sampler", "random", "--metric", LOSS, "--minimize"];
    words.extend_from_slice(more);
    words.push("--");
    words.extend_from_slice(command);
    words
}

#[test]
fn two_tuners_never_give_one_gpu_to_two_trials() {
    let room = room("0,1");
    let train = ["./train.sh", "{x}"];
    let more = ["--study", "other", "--trials", "20", "--workers", "3", "--gpus-per-trial", "1"];
    let other = room.begin(tune(&more, &train));
    let said =
        room.kilter(tune(&["--study", "one", "--trials", "20", "--workers", "3", "--gpus-per-trial", "1"], &train));
    said.done()
        .remarks("devices: 2 GPUs, 1 for each trial")
        .remarks("they hold 2 trials at a time; the other 1 of the 3 workers wait for them");
    assert_eq!(other.end(), Some(0), "{}", room.read("err"));
    for study in ["one", "other"] {
        assert_eq!(states(&room.trials_of(&["--study", study]))["complete"], 20, "{study}");
    }
    let printed = room.line("logs 0 --study one").done().out;
    assert!(printed.contains("gpu=0 hip=0") || printed.contains("gpu=1 hip=1"), "{printed}");
    // Nothing stays behind but the file that guards the choice.
    let left: Vec<_> = fs::read_dir(room.at("locks")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["lock"]);
}

#[test]
fn a_gpu_is_free_again_when_its_tuner_is_killed() {
    let room = room("a");
    room.script("hang.sh", "#!/bin/sh\ntouch hanging\nsleep 600\n");
    let hanging =
        room.begin(tune(&["--study", "hangs", "--trials", "1", "--gpus-per-trial", "0.75"], &["./hang.sh", "{x}"]));
    wait_until("the hanging trial", || room.exists("hanging"));
    let waiting =
        room.begin(tune(&["--study", "waits", "--trials", "1", "--gpus-per-trial", "0.5"], &["./train.sh", "{x}"]));
    wait_until("the waiting tuner's word", || room.read("err").contains("waiting for devices"));
    hanging.kill();
    assert_eq!(waiting.end(), Some(0), "{}", room.read("err"));
    assert_eq!(states(&room.trials_of(&["--study", "waits"]))["complete"], 1);
    room.wait_until_empty();
}

#[test]
fn a_trial_is_kept_on_its_cpus_and_told_how_many_threads_to_start() {
    let room = room("");
    room.script("cpus.sh", "#!/bin/sh\necho omp=$OMP_NUM_THREADS rayon=$RAYON_NUM_THREADS nproc=$(nproc) loss=1\n");
    room.kilter(tune(&["--trials", "1", "--cpus-per-trial", "1"], &["./cpus.sh", "{x}"])).done();
    room.line("logs 0").done().says("omp=1 rayon=1 nproc=1 loss=1");
    // A resumed study keeps to it.
    room.line("resume --trials 2").done().remarks("1 for each trial");
    room.line("logs 1").done().says("omp=1");
}

#[test]
fn a_tuner_inside_a_trial_divides_what_the_trial_has() {
    let room = room("a,b");
    let inner = format!(
        "#!/bin/sh\n{} tune --quiet --study inner$KILTER_TRIAL --param y=0.0..1.0 --metric 'loss=([0-9]+)' --minimize \
         --trials 2 --workers 2 --gpus-per-trial 0.5 -- sh -c 'echo loss=1 $CUDA_VISIBLE_DEVICES' || exit 1\necho loss=1\n",
        crate::room::KILTER
    );
    room.script("outer.sh", &inner);
    room.kilter(tune(
        &["--study", "outer", "--trials", "2", "--workers", "2", "--gpus-per-trial", "1"],
        &["./outer.sh", "{x}"],
    ))
    .done();
    assert_eq!(states(&room.trials_of(&["--study", "inner1"]))["complete"], 2);
}

#[test]
fn energy_is_charged_to_the_trial_and_said_how_it_is_known() {
    let mut room = room("");
    let counter = room.at("powercap/intel-rapl:0");
    fs::create_dir_all(&counter).unwrap();
    fs::write(counter.join("name"), "package-0\n").unwrap();
    fs::write(counter.join("energy_uj"), "1000000\n").unwrap();
    room.set("KILTER_POWERCAP", &room.at("powercap").display().to_string());
    room.script("burn.sh", "#!/bin/sh\necho 9000000 > powercap/intel-rapl:0/energy_uj\necho loss=1\n");
    room.kilter(tune(&["--trials", "1"], &["./burn.sh", "{x}"])).done();
    let trial = &room.trials()[0];
    let (joules, kind) = (trial["energy_joules"].as_f64().unwrap(), trial["energy_kind"].as_str().unwrap());
    // Eight joules, or, of a machine that had other work as well, a share.
    assert!((kind == "measured" && joules == 8.0) || (kind == "estimated" && joules < 8.0), "{trial}");
    room.line("show 0").done().says(&format!("({kind})"));
    // Without counters nothing is said, and nothing invented.
    room.set("KILTER_POWERCAP", "/nowhere");
    room.kilter(tune(&["--trials", "1", "--study", "dark"], &["./burn.sh", "{x}"])).done();
    assert!(room.trials_of(&["--study", "dark"])[0]["energy_joules"].is_null());
}

#[test]
fn devices_that_are_not_there_are_named_before_anything_is_written() {
    let room = room("");
    let call = |more: &[&str]| room.kilter(tune(more, &["./train.sh", "{x}"])).with(2);
    call(&["--gpus-per-trial", "1"])
        .remarks("--gpus-per-trial: no GPU was found. Looked at: KILTER_GPUS (\"\": it hides them all)");
    call(&["--gpus-per-trial", "1.5"]).remarks(
        "--gpus-per-trial: `1.5` is no number of devices: write a whole number (1, 2) or the share of one (0.5, 0.25)",
    );
    call(&["--gpus-per-trial", "-1"]).remarks("`-1` is no number of devices");
    call(&["--cpus-per-trial", "0"]).remarks("--cpus-per-trial: `0` is no number of devices");
    call(&["--cpus-per-trial", "many"]).remarks("`many` is no number of devices");
    call(&["--cpus-per-trial", "5000"]).remarks("--cpus-per-trial: a trial would need 5000 CPUs, but there ");
    assert!(!room.exists("kilter.db"));
    let mut room = self::room("0,1");
    room.kilter(tune(&["--gpus-per-trial", "3"], &["./train.sh", "{x}"]))
        .with(2)
        .remarks("--gpus-per-trial: a trial would need 3 GPUs, but there are 2 GPUs here: 0, 1");
    room.set("KILTER_GPUS", "0,0");
    room.kilter(tune(&["--gpus-per-trial", "1"], &["./train.sh", "{x}"]))
        .with(2)
        .remarks("KILTER_GPUS=0,0: `0` stands there twice");
    room.set("KILTER_GPUS", "0").set("KILTER_LOCKS", "/proc/nowhere");
    room.kilter(tune(&["--gpus-per-trial", "1"], &["./train.sh", "{x}"]))
        .with(1)
        .remarks("cannot keep account of who uses which device in /proc/nowhere");
}
