//! Anybody's command as the thing to tune.

use serde_json::Value as Json;

use crate::room::{KILTER, LOSS, Room, Said, numbers, python, states};

/// `kilter tune MORE -- COMMAND`, with a loss in the output to be made small and a seeded random search.
fn tune(room: &Room, more: &[&str], command: &[&str]) -> Said {
    let words = ["tune", "--sampler", "random", "--minimize=loss"].iter().chain(more).copied();
    room.kilter(words.chain(["--"]).chain(command.iter().copied()))
}

fn metric(trial: &Json, name: &str) -> f64 {
    trial["metrics"][name].as_f64().unwrap_or_else(|| panic!("no {name} in {trial}"))
}

#[test]
fn the_last_match_of_a_pattern_counts() {
    let room = Room::new();
    room.script("t.sh", "echo loss=9; echo \"loss=8 then loss=$1\"; echo done\n");
    tune(&room, &["--metric", LOSS, "--param", "x=int:1..5", "--trials", "3"], &["sh", "t.sh", "{x}"]).done();
    for trial in room.trials() {
        assert_eq!(metric(&trial, "loss"), trial["params"]["x"].as_f64().unwrap());
    }
}

#[test]
fn several_metrics_are_kept_and_one_is_the_goal() {
    let room = Room::new();
    room.script("t.sh", "echo \"epoch 1 loss=$1 accuracy: 0.$1\"; echo 'note=3' >&2\n");
    let metrics = ["--metric", LOSS, "--metric", r"acc=accuracy: ([0-9.]+)", "--metric", "note=([0-9]+)"];
    let more: Vec<&str> = metrics.into_iter().chain(["--param", "x=int:1..9", "--trials", "3"]).collect();
    tune(&room, &more, &["sh", "t.sh", "{x}"]).done();
    for trial in room.trials() {
        let x = trial["params"]["x"].as_f64().unwrap();
        assert_eq!([metric(&trial, "loss"), metric(&trial, "acc") * 10.0, metric(&trial, "note")], [x, x, 3.0]);
        assert_eq!(trial["values"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn lines_of_json_need_no_pattern() {
    let room = Room::new();
    room.script(
        "t.sh",
        "echo starting; echo '{\"step\": 1, \"loss\": 7}'; echo \"{\\\"loss\\\": $1, \\\"more\\\": [1]}\"\n",
    );
    tune(&room, &["--param", "x=int:1..5", "--trials", "2"], &["sh", "t.sh", "{x}"]).done();
    for trial in room.trials() {
        assert_eq!(metric(&trial, "loss"), trial["params"]["x"].as_f64().unwrap());
    }
}

#[test]
fn a_metric_is_read_from_a_file_of_the_trials_own_folder() {
    let room = Room::new();
    room.script("t.sh", "echo \"{\\\"loss\\\": $1}\" > \"$2/m.json\"; echo \"$1\" > \"$2/plain.txt\"\n");
    let metrics = ["--metric", "loss=file:{folder}/m.json", "--metric", "plain=file:{folder}/plain.txt"];
    let more: Vec<&str> = metrics.into_iter().chain(["--param", "x=int:1..5", "--trials", "3"]).collect();
    tune(&room, &more, &["sh", "t.sh", "{x}", "{folder}"]).done();
    for trial in room.trials() {
        let x = trial["params"]["x"].as_f64().unwrap();
        assert_eq!([metric(&trial, "loss"), metric(&trial, "plain")], [x, x]);
    }
}

#[test]
fn what_an_earlier_trial_left_in_a_file_is_no_result() {
    let room = Room::new();
    // Only the first trial writes.
    room.script("t.sh", "[ -e m.txt ] || echo 5 > m.txt\n");
    let more = ["--metric", "loss=file:m.txt", "--param", "x=0..1", "--trials", "3"];
    tune(&room, &more, &["sh", "t.sh", "{x}"]).done();
    let trials = room.trials();
    assert_eq!((trials[0]["state"].as_str(), metric(&trials[0], "loss")), (Some("complete"), 5.0));
    for trial in &trials[1..] {
        assert_eq!(trial["failure"]["kind"], "missing_metric", "{trial}");
    }
}

#[test]
fn a_trial_reports_by_calling_kilter() {
    let room = Room::new();
    room.script(
        "t.sh",
        &format!("for step in 0 1 2; do '{KILTER}' report --step $step loss=$((10 - step)) other=0.5; done\n"),
    );
    tune(&room, &["--param", "x=0..1", "--trials", "2"], &["sh", "t.sh", "{x}"]).done();
    let trial = room.line("show 1 --json").done().json();
    assert_eq!([metric(&trial, "loss"), metric(&trial, "other")], [8.0, 0.5]);
    let steps: Vec<u64> = trial["reports"].as_array().unwrap().iter().map(|p| p["step"].as_u64().unwrap()).collect();
    assert_eq!(steps.iter().filter(|step| **step == 2).count(), 2, "two figures at the last step: {steps:?}");
    room.line("logs 1").done().says("go\ngo\ngo\n");
}

#[test]
fn parameters_stand_in_the_environment() {
    let room = Room::new();
    room.script(
        "t.sh",
        "echo \"loss=$KILTER_PARAM_RATE\"; echo \"$KILTER_PARAM_rate|$KILTER_PARAM_OPT_KIND|$KILTER_PARAM_opt_kind|\
         $KILTER_TRIAL\"; test -d \"$KILTER_FOLDER\" && test -f \"$KILTER_CONFIG\" && test -n \"$KILTER_SEED\"\n",
    );
    // No placeholder at all: the environment is how parameters arrive.
    let more = ["--metric", LOSS, "--param", "rate=0..1", "--param", "opt.kind=adam|sgd", "--trials", "2"];
    tune(&room, &more, &["sh", "t.sh"]).done();
    for trial in room.trials() {
        let (number, params) = (&trial["number"], &trial["params"]);
        let (rate, kind) = (params["rate"].as_f64().unwrap(), params["opt.kind"].as_str().unwrap());
        assert_eq!(metric(&trial, "loss"), rate, "a float arrives whole");
        room.line(&format!("logs {number}")).done().says(&format!("{rate}|{kind}|{kind}|{number}\n"));
    }
}

#[test]
fn a_trial_gets_a_file_of_its_configuration_its_folder_and_its_number() {
    let room = Room::new();
    room.script(
        "t.py",
        "import json, os, sys\n\
         config, folder, trial = sys.argv[1:]\n\
         c = json.load(open(config))\n\
         assert list(c) == ['rate', 'flag', 'name', 'steps'], c\n\
         assert isinstance(c['flag'], bool) and isinstance(c['steps'], int) and c['name'] == 'x y', c\n\
         assert os.path.isabs(folder) and os.path.isdir(folder), folder\n\
         assert os.path.dirname(config) == folder and os.path.basename(folder) == trial\n\
         print(f'loss={c[\"rate\"]!r}')\n",
    );
    let params = ["rate=log:1e-5..1e-1", "flag=true|false", "name=fixed:'x y'", "steps=int:1..8"];
    let more: Vec<&str> = params.iter().flat_map(|param| ["--param", param]).collect();
    let more: Vec<&str> = more.into_iter().chain(["--metric", LOSS, "--trials", "2"]).collect();
    tune(&room, &more, &[python(), "t.py", "{config}", "{folder}", "{trial}"]).done();
    for trial in room.trials() {
        assert_eq!(metric(&trial, "loss"), trial["params"]["rate"].as_f64().unwrap());
    }
}

#[test]
fn one_word_with_spaces_is_a_line_for_the_shell() {
    let room = Room::new();
    let line = "x={x}; printf 'kind %s\\n' {kind} | cat && echo loss=$((x * 2)) | sed s/loss/loss/";
    let more = ["--metric", LOSS, "--param", "x=int:1..5", "--param", "kind='a b'|'$(touch broken)'", "--trials", "4"];
    tune(&room, &more, &[line]).done();
    for trial in room.trials() {
        assert_eq!(metric(&trial, "loss"), 2.0 * trial["params"]["x"].as_f64().unwrap());
        let kind = trial["params"]["kind"].as_str().unwrap();
        room.line(&format!("logs {}", trial["number"])).done().says(&format!("kind {kind}\n"));
    }
    assert!(!room.exists("broken"), "values are quoted for the shell");
}

#[test]
fn both_outputs_are_kept_and_shown() {
    let room = Room::new();
    room.script("t.sh", "echo to the one; echo to the other >&2; echo loss=1\n");
    tune(&room, &["--metric", LOSS, "--param", "x=0..1", "--trials", "1"], &["sh", "t.sh", "{x}"]).done();
    let said = room.line("logs 0").done();
    assert_eq!(said.out, "to the one\nloss=1\nto the other\n");
    assert_eq!(said.err, "--- trial 0, standard error ---\n");
    assert_eq!(room.line("logs 0 --stderr").done().out, "to the other\n");
    let json = room.line("logs 0 --json").done().json();
    assert_eq!(
        (json["stdout"].as_str(), json["stderr"].as_str()),
        (Some("to the one\nloss=1\n"), Some("to the other\n"))
    );
    assert_eq!(room.line("logs").done().out, said.out, "without a number: of the best");
}

#[test]
fn what_a_tree_of_processes_took_is_recorded() {
    let room = Room::new();
    // The memory and most of the time are a grandchild's.
    room.script(
        "t.py",
        "import subprocess, sys\n\
         if len(sys.argv) > 2:\n    block = b'x' * 80_000_000\n    sum(i * i for i in range(400_000))\n\
         else:\n    subprocess.check_call([sys.executable, __file__, sys.argv[1], 'inner'])\n    print('loss=1')\n",
    );
    tune(&room, &["--metric", LOSS, "--param", "x=0..1", "--trials", "1"], &[python(), "t.py", "{x}"]).done();
    let trial = &room.trials()[0];
    let [wall, cpu, peak] = ["wall_seconds", "cpu_seconds", "peak_bytes"].map(|name| trial[name].as_f64().unwrap());
    assert!(wall > 0.0 && cpu > 0.0, "{trial}");
    assert!(peak >= 80e6, "{trial}");
    room.line("show 0").done().says(" CPU, ").says(" memory at the peak");
}

#[test]
fn hopeless_commands_are_pruned() {
    let room = Room::new();
    // The first two trials are good; all later ones are worse at each step, and would run for ever.
    room.script(
        "t.sh",
        "for step in 0 1 2 3; do echo loss=$(($1 > 1 ? 100 : 4 - step)); done\n\
         [ \"$1\" -lt 2 ] || while :; do sleep 0.05; done\n",
    );
    let more = ["--metric", LOSS, "--param", "x=0..1", "--trials", "4", "--pruner", "median:n_startup_trials=2"];
    let said = tune(&room, &more, &["sh", "t.sh", "{trial}", "{x}"]).done();
    let trials = room.trials();
    let ended: Vec<&str> = trials.iter().map(|trial| trial["state"].as_str().unwrap()).collect();
    assert_eq!(ended, ["complete", "complete", "pruned", "pruned"]);
    assert!(trials[2]["values"].is_null() && trials[2]["stopped"].as_str().unwrap().contains("100"), "{}", trials[2]);
    said.says("4 trials: 2 complete, 2 pruned");
    room.line("show 2").done().says("stopped early: median");
}

#[test]
fn a_trial_that_asks_may_end_by_itself() {
    let room = Room::new();
    room.script(
        "t.sh",
        &format!(
            "for step in 0 1 2 3; do\n  answer=$('{KILTER}' report --step $step loss=$(($1 > 1 ? 100 : 1)))\n  \
             case $answer in stop*) echo \"$answer\" >&2; exit 0;; esac\ndone\n"
        ),
    );
    let more = ["--param", "x=0..1", "--trials", "3", "--pruner", "median:n_startup_trials=2"];
    tune(&room, &more, &["sh", "t.sh", "{trial}", "{x}"]).done();
    assert_eq!(room.trials()[2]["state"], "pruned");
    room.line("logs 2 --stderr").done().says("stop median: ");
}

#[test]
fn names_and_values_may_be_in_any_script() {
    let room = Room::new();
    room.script("t.py", "import os, sys\nprint('損失=' + sys.argv[1], sys.argv[2], os.environ['KILTER_PARAM_語'])\n");
    let words = [
        "tune",
        "--sampler",
        "random",
        "--minimize",
        "--metric",
        "損失=([0-9.eE+-]+)",
        "--trials",
        "3",
        "--param",
        "学習率=0..1",
        "--param",
        "語=käse|寿司|🧀",
        "--",
        python(),
        "t.py",
        "{学習率}",
        "{語}",
    ];
    room.kilter(words).done().says("best 損失").says("学習率");
    for trial in room.trials() {
        let word = trial["params"]["語"].as_str().unwrap();
        assert_eq!(metric(&trial, "損失"), trial["params"]["学習率"].as_f64().unwrap());
        room.line(&format!("logs {}", trial["number"])).done().says(&format!(" {word} {word}\n"));
    }
}

#[test]
fn output_that_is_no_text_does_no_harm() {
    let room = Room::new();
    room.script("t.sh", "printf 'caf\\351 \\377\\376\\000 loss=3\\n'; printf '\\377bad' >&2\n");
    tune(&room, &["--metric", LOSS, "--param", "x=0..1", "--trials", "1"], &["sh", "t.sh", "{x}"]).done();
    assert_eq!(metric(&room.trials()[0], "loss"), 3.0);
    assert!(room.line("logs 0 --json").done().json()["stdout"].as_str().unwrap().contains("caf\u{FFFD}"));
    let log = std::fs::read(room.at("kilter.trials/t/0/stdout.log")).unwrap();
    assert_eq!(log, b"caf\xE9 \xFF\xFE\0 loss=3\n", "the log is what was printed, byte by byte");
}

#[test]
fn a_flood_of_output_is_bounded_and_its_metric_found() {
    let room = Room::new();
    room.script(
        "t.py",
        "import sys\nline = 'x' * 4999 + '\\n'\nfor _ in range(10_000): sys.stdout.write(line)\nprint('loss=0.25')\n",
    );
    tune(&room, &["--metric", LOSS, "--param", "x=0..1", "--trials", "1"], &[python(), "t.py", "{x}"]).done();
    assert_eq!(metric(&room.trials()[0], "loss"), 0.25);
    let log = room.read("kilter.trials/t/0/stdout.log");
    assert!(log.len() < 34_000_000 && log.ends_with("loss=0.25\n"), "{}", log.len());
}

#[test]
fn one_endless_line_is_bounded_too() {
    let room = Room::new();
    room.script("t.py", "import sys\nfor _ in range(500): sys.stdout.write('x' * 10_000)\nprint('\\nloss=2')\n");
    tune(&room, &["--metric", LOSS, "--param", "x=0..1", "--trials", "1"], &[python(), "t.py", "{x}"]).done();
    assert_eq!(metric(&room.trials()[0], "loss"), 2.0);
}

#[test]
fn what_runs_on_after_its_command_is_ended_and_holds_up_nobody() {
    let room = Room::new();
    room.script("t.sh", "sh linger.sh & echo loss=1\n").script("linger.sh", "while :; do sleep 0.1; done\n");
    let script = room.at("t.sh").to_string_lossy().into_owned();
    tune(&room, &["--metric", LOSS, "--param", "x=0..1", "--trials", "2"], &["sh", &script, "{x}"]).done();
    assert_eq!(states(&room.trials())["complete"], 2);
    room.wait_until_empty();
}

#[test]
fn a_parameter_that_is_fixed_is_passed_but_not_searched() {
    let room = Room::new();
    room.script("t.sh", "echo loss=$1$2\n");
    let more = ["--metric", LOSS, "--param", "x=int:1..3", "--set", "y=7", "--trials", "2"];
    tune(&room, &more, &["sh", "t.sh", "{x}", "{y}"]).done().remarks("of 1 hyperparameter, 2 trials");
    for trial in room.trials() {
        assert_eq!(metric(&trial, "loss"), trial["params"]["x"].as_f64().unwrap() * 10.0 + 7.0);
    }
}

#[test]
fn a_study_is_named_for_its_script() {
    let room = Room::new();
    room.script("fit.sh", "echo loss=1\n");
    for command in
        [&["sh", "fit.sh", "{x}"][..], &["./fit.sh", "{x}"], &["sh fit.sh {x} | cat"], &["echo", "loss=1{x}"]]
    {
        tune(&room, &["--metric", LOSS, "--param", "x=0..1", "--trials", "1", "--quiet"], command).done();
    }
    let studies = room.line("studies --json").done().json();
    let names: Vec<&Json> = studies["studies"].as_array().unwrap().iter().map(|study| &study["name"]).collect();
    assert_eq!(names, ["fit", "fit-2", "fit-3", "echo"]);
}

#[test]
fn a_study_may_be_resumed_from_another_folder() {
    let room = Room::new();
    room.script("t.sh", "echo loss=1; pwd\n");
    std::fs::create_dir(room.at("elsewhere")).unwrap();
    tune(&room, &["--metric", LOSS, "--param", "x=0..1", "--trials", "1"], &["sh", "t.sh", "{x}"]).done();
    let mut command = assert_cmd::Command::new(KILTER);
    let words = ["resume", "--trials", "2", "--storage", "sqlite:../kilter.db", "--quiet"];
    command.current_dir(room.at("elsewhere")).args(words).assert().success();
    let trials = room.trials();
    assert_eq!(numbers(&trials), [0, 1]);
    assert_eq!(states(&trials)["complete"], 2);
    assert_eq!(room.line("logs 0").done().out, room.line("logs 1").done().out, "it runs where it ran");
}

#[test]
fn studies_of_similar_names_keep_their_trials_apart() {
    let room = Room::new();
    room.script("t.sh", "echo loss=1 $1\n");
    let long = "long ".repeat(70);
    let names = ["a b", "a_b", "a/b", "..", "über", long.trim()];
    for (i, name) in names.iter().enumerate() {
        let value = format!("x=fixed:word{i}");
        let more =
            ["--metric", LOSS, "--param", "y=0..1", "--param", &value, "--trials", "1", "--study", name, "--quiet"];
        tune(&room, &more, &["sh", "t.sh", "{x}", "{y}"]).done();
    }
    for (i, name) in names.iter().enumerate() {
        room.kilter(["logs", "0", "--study", name]).done().says(&format!("word{i}\n"));
    }
    assert_eq!(room.files(), ["kilter.db", "kilter.trials", "t.sh"]);
}

#[test]
fn names_that_differ_in_capitals_only_arrive_apart() {
    let room = Room::new();
    room.script("t.sh", "echo loss=1; echo $KILTER_PARAM_x $KILTER_PARAM_X $KILTER_PARAM_Y\n");
    let more =
        ["--metric", LOSS, "--param", "X=fixed:big", "--param", "x=fixed:small", "--param", "y=1|2", "--trials", "1"];
    tune(&room, &more, &["sh", "t.sh"]).done();
    room.line("logs 0").done().says("small big ");
}
