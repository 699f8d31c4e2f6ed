//! What the world does to a study: disks that fill up, media that cannot be written, commands that never stop talking.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use crate::room::{KILTER, LOSS, Room, Said, python, states, wait_until};

/// How a disk is made that is too small or cannot be written.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Medium {
    /// A file system of one's own.
    Mount(&'static str),
    /// Where the system lets nobody have one: a bound on files, and a folder that even root may not write.
    Bounds,
}

impl Medium {
    fn here() -> Self {
        let may =
            |how: &&str| Command::new("unshare").args([how, "true"]).status().is_ok_and(|status| status.success());
        ["-rm", "-m"].into_iter().find(may).map_or(Self::Bounds, Self::Mount)
    }

    /// Runs a shell script in the folder `small` of the room, with `$KILTER` and these further lines in front.
    fn run(self, room: &Room, before: &str, script: &str) -> String {
        fs::create_dir(room.at("small")).unwrap();
        room.script("steps.sh", &format!("set -u\nKILTER={KILTER}\n{before}\ncd small\n{script}"));
        let words: &[&str] = match self {
            Self::Mount(how) => &["unshare", how, "sh", "steps.sh"],
            Self::Bounds => &["sh", "steps.sh"],
        };
        let mut shell = Command::new(words[0]);
        let output = shell.args(&words[1..]).current_dir(room.path()).env("LC_ALL", "C.UTF-8").output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        println!("{self:?}:\n{said}");
        said
    }
}

/// Each medium that can be had here.
fn on_every_medium(promise: impl Fn(Medium, Room)) {
    let mut media = vec![Medium::here(), Medium::Bounds];
    media.dedup();
    media.into_iter().for_each(|medium| promise(medium, Room::new()));
}

#[test]
fn a_full_disk_stops_the_study_and_room_lets_it_go_on() {
    on_every_medium(|medium, room| {
        let (small, bound, larger) = match medium {
            Medium::Mount(_) => ("mount -t tmpfs -o size=500k tmpfs small", ":", "mount -o remount,size=20m tmpfs ."),
            Medium::Bounds => ("", "ulimit -f 500", ":"),
        };
        let script = format!(
            "({bound}; $KILTER tune --quiet --param x=0..1 --metric 'loss=(.*)' --minimize --trials 200 --study t \
                -- sh -c 'echo loss={{x}}'; echo first exit $?)
            {larger}
            $KILTER trials --json > ../before.json
            $KILTER storage check; echo check exit $?
            $KILTER resume --quiet; echo second exit $?
            $KILTER trials --json > ../after.json"
        );
        let said = medium.run(&room, small, &script);
        assert!(said.contains("first exit 4"), "{said}");
        assert!(said.contains("kilter.db") && said.contains("continue then with: kilter resume t"), "{said}");
        assert!(medium == Medium::Bounds || said.contains("the disk is full"), "{said}");
        assert!(said.contains("is whole") && said.contains("check exit 0") && said.contains("second exit 0"), "{said}");
        let trials = |file: &str| {
            let document: serde_json::Value = serde_json::from_str(&room.read(file)).unwrap();
            document["trials"].as_array().unwrap().clone()
        };
        let complete = states(&trials("before.json")).get("complete").copied().unwrap_or_default();
        assert!((1..200).contains(&complete), "{complete} before the disk was full");
        let after = trials("after.json");
        assert_eq!(states(&after).into_iter().collect::<Vec<_>>(), [("complete".to_owned(), 200)], "none was burnt");
    });
}

#[test]
fn a_read_only_medium_can_be_looked_at_and_not_resumed() {
    on_every_medium(|medium, room| {
        let (small, closed, kilter) = match medium {
            Medium::Mount(_) => {
                ("mount -t tmpfs -o size=20m tmpfs small", "mount -o remount,ro tmpfs .", "$KILTER".to_owned())
            }
            // Root may write anywhere, unless it gives that right away.
            Medium::Bounds if fs::metadata("/proc/self").unwrap().uid() == 0 => {
                let without = "setpriv --bounding-set=-dac_override,-dac_read_search --no-new-privs";
                ("", "chmod 555 .", format!("{without} $KILTER"))
            }
            Medium::Bounds => ("", "chmod 555 .", "$KILTER".to_owned()),
        };
        let script = format!(
            "$KILTER tune --quiet --param x=0..1 --metric 'loss=(.*)' --minimize --trials 3 --study 'a b' \
                -- sh -c 'echo loss={{x}}'
            {closed}
            {kilter} trials; echo trials exit $?
            {kilter} show 1; echo show exit $?
            {kilter} storage check; echo check exit $?
            {kilter} resume --trials 5; echo resume exit $?
            {kilter} tune breast-cancer --storage sqlite:new.db; echo tune exit $?
            [ -w . ] || chmod 755 ."
        );
        let said = medium.run(&room, small, &script);
        for expected in
            ["3 trials: 3 complete", "trials exit 0", "show exit 0", "check exit 0", "resume exit 4", "tune exit 4"]
        {
            assert!(said.contains(expected), "no {expected:?} in {said}");
        }
        assert!(said.contains("the file is read-only"), "{said}");
    });
}

#[test]
fn a_flood_of_output_and_reports_is_bounded_in_memory_and_on_disk_and_said() {
    let room = Room::new();
    room.script(
        "t.py",
        "import sys\n\
         for _ in range(40): sys.stdout.write(('x' * 3999 + '\\n') * 250)\n\
         sys.stdout.write('loss=0.5\\n' * 100000 + 'loss=0.25\\n')\n",
    );
    let words =
        ["tune", "--quiet", "--minimize", "--metric", LOSS, "--param", "x=0..1", "--trials", "1", "--study", "t"];
    let mut tuner = room.begin(words.into_iter().chain(["--", python(), "t.py", "{x}"]));
    let mut peak = 0;
    wait_until("the end", || {
        let status = fs::read_to_string(format!("/proc/{}/status", tuner.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak = peak.max(line.map_or(0, |line| line.trim().trim_end_matches(" kB").parse().unwrap()));
        tuner.has_ended()
    });
    assert_eq!(tuner.end(), Some(0), "{}", room.read("err"));
    assert!(peak > 0 && peak < 200_000, "{peak} kB in memory");
    let size = |name: &str| fs::metadata(room.at(name)).unwrap().len();
    assert!(size("kilter.trials/t/0/stdout.log") < (32 << 20) + 10_000);
    assert!(size("kilter.db") < 4_000_000, "{}", size("kilter.db"));
    let said = room.line("show 0").done().says("MB more than stdout.log keeps: the beginning and the last lines");
    assert!(said.out.contains("of its 100001 reports 33751 are kept"), "{}", said.out);
    let trial = &room.trials()[0];
    assert_eq!((trial["values"][0].as_f64(), trial["remarks"].as_array().unwrap().len()), (Some(0.25), 2));
}

fn tune_with_secrets(room: &Room) -> Said {
    room.script("t.sh", "echo $2 $4 >> seen; echo loss=$5\n");
    let words = ["tune", "--minimize", "--metric", LOSS, "--param", "x=0..1", "--trials", "2", "--study", "t", "--"];
    let command = ["sh", "t.sh", "--api-key", "hunter2x", "--db", "postgres://me:swordfish@host/db", "{x}"];
    room.kilter(words.iter().chain(&command)).done()
}

#[test]
fn secrets_of_a_command_are_not_stored_and_a_resume_says_what_it_needs() {
    let room = Room::new();
    tune_with_secrets(&room).remarks("what looks like a secret (api_key, password), which is not stored");
    for name in room.files() {
        let content = fs::read(room.at(&name)).unwrap_or_default();
        let holds = |secret: &str| content.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(name == "seen" || !(holds("hunter2x") || holds("swordfish")), "{name} holds a secret");
    }
    let said = room.line("resume --trials 3").with(2);
    assert!(
        said.err.contains("(`api_key`); set it in the environment, as in: export KILTER_SECRET_API_KEY=…"),
        "{}",
        said.err
    );
    room.line("worker t").with(2).remarks("KILTER_SECRET_API_KEY");
    let mut kilter = assert_cmd::Command::new(KILTER);
    let kilter = kilter.current_dir(room.path()).args(["resume", "--trials", "3"]);
    kilter.env("KILTER_SECRET_API_KEY", "hunter2x").env("KILTER_SECRET_PASSWORD", "swordfish").assert().success();
    assert_eq!(room.read("seen"), "hunter2x postgres://me:swordfish@host/db\n".repeat(3));
}

/// A disk that is full when a checkpoint is due: the last whole one stays, and with room the training ends as it would have.
#[test]
fn a_full_disk_keeps_the_last_whole_checkpoint() {
    on_every_medium(|medium, room| {
        let train = "$KILTER train mlp --quiet --set width=256 --set epochs=2 --set checkpoint_every=20";
        let (small, larger) = match medium {
            Medium::Mount(_) => ("mount -t tmpfs -o size=1600k tmpfs small", "mount -o remount,size=20m tmpfs ."),
            Medium::Bounds => ("", ":"),
        };
        // Weights and two moments of 85,000 numbers each are a megabyte: one fits, and no second beside it. A bound on files
        // lets not even one through.
        let bounded = match medium {
            Medium::Mount(_) => format!("({train} -o net.safetensors; echo first exit $?)"),
            Medium::Bounds => format!("(ulimit -f 600; {train} -o net.safetensors; echo first exit $?)"),
        };
        let script = format!(
            "{bounded}
            ls net.safetensors.training
            {larger}
            {train} -o net.safetensors; echo second exit $?
            ls
            {train} -o ../whole.safetensors
            cmp net.safetensors ../whole.safetensors && echo the same"
        );
        let said = medium.run(&room, small, &script);
        assert!(said.contains("first exit 1") && said.contains("cannot write"), "{said}");
        let kept = said.lines().any(|line| line == "training-0.safetensors");
        assert_eq!(kept, medium != Medium::Bounds, "{said}");
        assert!(said.contains("second exit 0") && said.contains("the same"), "{said}");
    });
}
