//! A folder to type `kilter` in, and what it answered.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use tempfile::TempDir;

/// The binary under test.
pub const KILTER: &str = env!("CARGO_BIN_EXE_kilter");

/// A call that takes longer hangs, also on a machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(240);

/// The usual pattern for a loss.
pub const LOSS: &str = "loss=([0-9.eE+-]+)";

/// A fresh folder.
pub struct Room {
    folder: TempDir,
    environment: Vec<(String, String)>,
}

impl Room {
    pub fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), environment: Vec::new() }
    }

    /// Sets an environment variable for every call from now on.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Writes a file that may be run.
    pub fn script(&self, name: &str, text: &str) -> &Self {
        fs::write(self.at(name), text).unwrap();
        fs::set_permissions(self.at(name), fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    pub fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.at(name)).unwrap_or_default()).into_owned()
    }

    pub fn exists(&self, name: &str) -> bool {
        self.at(name).exists()
    }

    /// What lies in the folder.
    pub fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Types `kilter` and these words, and waits for the end.
    pub fn kilter<W: AsRef<str>>(&self, words: impl IntoIterator<Item = W>) -> Said {
        let words: Vec<String> = words.into_iter().map(|word| word.as_ref().to_owned()).collect();
        let mut command = assert_cmd::Command::from_std(plain(Command::new(KILTER)));
        let output = command
            .envs(self.environment.iter().cloned())
            .args(&words)
            .current_dir(self.path())
            .timeout(PATIENCE)
            .output()
            .unwrap();
        Said {
            words,
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Types one line, cut at spaces.
    pub fn line(&self, line: &str) -> Said {
        self.kilter(line.split_whitespace())
    }

    /// Begins `kilter` and does not wait. What it says goes to the files `out` and `err` of the folder.
    pub fn begin<W: AsRef<str>>(&self, words: impl IntoIterator<Item = W>) -> Running {
        self.begin_into("", words)
    }

    /// Begins one more beside others: what it says goes to the files `NAME.out` and `NAME.err`.
    pub fn begin_as<W: AsRef<str>>(&self, name: &str, words: impl IntoIterator<Item = W>) -> Running {
        self.begin_into(&format!("{name}."), words)
    }

    fn begin_into<W: AsRef<str>>(&self, stem: &str, words: impl IntoIterator<Item = W>) -> Running {
        let file = |name: &str| fs::File::create(self.at(&format!("{stem}{name}"))).unwrap();
        let words = words.into_iter().map(|word| word.as_ref().to_owned());
        let mut command = plain(Command::new(KILTER));
        command.envs(self.environment.iter().cloned());
        command.args(words).current_dir(self.path()).stdin(Stdio::null()).stdout(file("out")).stderr(file("err"));
        Running { child: command.spawn().unwrap() }
    }

    /// The trials of the newest study, as `kilter trials --json` gives them.
    pub fn trials(&self) -> Vec<Json> {
        self.trials_of(&[])
    }

    pub fn trials_of(&self, more: &[&str]) -> Vec<Json> {
        let words = ["trials", "--json"].iter().chain(more);
        self.kilter(words).done().json()["trials"].as_array().unwrap().clone()
    }

    /// Processes that were started for this folder's trials: their command or their environment names it, or they
    /// supervise from there.
    pub fn processes(&self) -> Vec<(u32, String)> {
        let own = self.path().to_string_lossy().into_owned();
        let numbers = fs::read_dir("/proc").unwrap().flatten();
        let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        numbers
            .filter(|pid| *pid != std::process::id())
            .filter_map(|pid| {
                let read = |what: &str| fs::read(format!("/proc/{pid}/{what}")).unwrap_or_default();
                let command = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
                let environment = String::from_utf8_lossy(&read("environ")).into_owned();
                let supervises = command.contains(" __supervise")
                    && fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|folder| folder == self.path());
                (command.contains(&own) || environment.contains(&own) || supervises).then_some((pid, command))
            })
            .filter(|(pid, _)| is_alive(*pid))
            .collect()
    }

    /// Waits until none of this folder's processes is left.
    pub fn wait_until_empty(&self) {
        wait_until(&format!("an end of {:?}", self.processes()), || self.processes().is_empty());
    }
}

impl Drop for Room {
    /// A test that failed leaves nothing running, even where that is what it found out.
    fn drop(&mut self) {
        if std::thread::panicking() {
            for (pid, _) in self.processes() {
                let _ = Command::new("sh").arg("-c").arg(format!("kill -KILL {pid}")).status();
            }
        }
    }
}

/// Nothing of the test's own surroundings gets in.
fn plain(mut command: Command) -> Command {
    for name in ["NO_COLOR", "COLUMNS", "LINES", "CLICOLOR_FORCE", "KILTER_SOCKET", "RUST_BACKTRACE"] {
        command.env_remove(name);
    }
    command.env("LC_ALL", "C.UTF-8");
    command
}

/// What a call said.
pub struct Said {
    words: Vec<String>,
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Said {
    /// Asserts the exit status.
    #[track_caller]
    pub fn with(self, code: i32) -> Self {
        let Self { words, out, err, .. } = &self;
        assert_eq!(self.code, Some(code), "kilter {}\n--- out\n{out}\n--- err\n{err}", words.join(" "));
        assert!(!err.contains("panicked at"), "{err}");
        self
    }

    /// Asserts that it went well.
    #[track_caller]
    pub fn done(self) -> Self {
        self.with(0)
    }

    /// Asserts that standard output holds `text`.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.out.contains(text), "no {text:?} in:\n{}\n--- err\n{}", self.out, self.err);
        self
    }

    /// Asserts that standard error holds `text`.
    #[track_caller]
    pub fn remarks(self, text: &str) -> Self {
        assert!(self.err.contains(text), "no {text:?} in:\n{}", self.err);
        self
    }

    /// Standard output as the one JSON document that it is.
    #[track_caller]
    pub fn json(&self) -> Json {
        serde_json::from_str(&self.out).unwrap_or_else(|why| panic!("{why} in:\n{}", self.out))
    }
}

/// A tuner under way.
pub struct Running {
    child: Child,
}

impl Running {
    /// Sends it a signal.
    pub fn signal(&self, signal: &str) {
        send(signal, self.child.id());
    }

    /// Kills it as an out-of-memory killer would, and takes it from the process table.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end; its exit status.
    pub fn end(mut self) -> Option<i32> {
        wait_until("the tuner's end", || self.has_ended());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    /// A test that failed leaves nothing running.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn send(signal: &str, pid: u32) {
    let done = Command::new("sh").arg("-c").arg(format!("kill -{signal} {pid}")).status().unwrap();
    assert!(done.success());
}

/// Looks again and again until `fact` is so.
#[track_caller]
pub fn wait_until(what: &str, mut fact: impl FnMut() -> bool) {
    let began = Instant::now();
    while !fact() {
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').map(|(_, rest)| rest.trim_start().chars().next());
    !matches!(state, None | Some(None | Some('Z' | 'X')))
}

/// A Python without the wrappers that some machines put before it: they cost a start each.
pub fn python() -> &'static str {
    static PYTHON: OnceLock<String> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let output = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
        let output = output.expect("these tests need python3");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    })
}

/// Number, parameters and values of trials: what must be the same when all is the same.
pub fn essence(trials: &[Json]) -> Vec<(u64, Json, Json)> {
    trials.iter().map(|t| (t["number"].as_u64().unwrap(), t["params"].clone(), t["values"].clone())).collect()
}

/// How many trials ended how.
pub fn states(trials: &[Json]) -> BTreeMap<String, usize> {
    let mut states = BTreeMap::new();
    for trial in trials {
        *states.entry(trial["state"].as_str().unwrap().to_owned()).or_insert(0) += 1;
    }
    states
}

/// The numbers of trials; dense from 0 if none is missing or there twice.
pub fn numbers(trials: &[Json]) -> Vec<u64> {
    trials.iter().map(|trial| trial["number"].as_u64().unwrap()).collect()
}

/// `text` with the room's path and everything that took time or memory made the same.
pub fn redacted(text: &str, room: &Room) -> String {
    let real = fs::canonicalize(room.path()).unwrap();
    let text = text.replace(&*real.to_string_lossy(), "[room]").replace(&*room.path().to_string_lossy(), "[room]");
    text.lines().map(redacted_line).collect::<Vec<_>>().join("\n")
}

/// `0.1 s` becomes `_._ s`: as wide, so that tables keep their shape.
fn redacted_line(line: &str) -> String {
    let mut parts: Vec<String> = line.split(' ').map(str::to_owned).collect();
    for i in 1..parts.len() {
        let unit = parts[i].trim_end_matches(',');
        if ["s", "min", "kB", "MB"].contains(&unit) && parts[i - 1].parse::<f64>().is_ok() {
            parts[i - 1] = if unit.ends_with('B') { "__".to_owned() } else { "_._".to_owned() };
        }
    }
    parts.join(" ")
}

/// `text` with every number made the same, for reports whose shape matters and whose figures depend on the machine.
pub fn numberless(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        let c = match c {
            '0'..='9' => '#',
            '▁'..='█' => '▄',
            '\u{2800}'..='\u{28ff}' => '⣿',
            c => c,
        };
        if c != '#' || !out.ends_with('#') {
            out.push(c);
        }
    }
    // Columns are as wide as their figures.
    let lines = out.lines().map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        format!("{}{}", if line.starts_with(' ') { "  " } else { "" }, words.join(" "))
    });
    lines.collect::<Vec<_>>().join("\n").replace("#.#", "#").replace("#e-#", "#")
}
