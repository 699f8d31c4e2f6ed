//! The file itself: opening it, its schema and how older ones are brought forward, waiting for others.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use kilter_numerics::Stream;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::super::StorageError;
use super::super::worker::{Clock, SystemClock};
use super::line;

/// How a file is opened.
pub struct Opening {
    /// The storage's clock.
    pub clock: Arc<dyn Clock>,
    /// What a power cut may cost.
    pub durability: Durability,
    /// Names the network file system that a path lies on, if it lies on one.
    pub network: fn(&Path) -> Option<String>,
}

impl Default for Opening {
    fn default() -> Self {
        Self { clock: Arc::new(SystemClock), durability: Durability::Normal, network: network_file_system }
    }
}

/// What a power cut may cost. A killed process loses nothing under either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The last moments, never the file.
    #[default]
    Normal,
    /// Nothing: every change waits for the disk, some hundred a second.
    Full,
}

/// "kltr", so that the file can be told from any other database.
const APPLICATION_ID: i64 = 0x6B6C_7472;

/// What brings a file from each schema to the next; the first makes a new file. Released ones never change.
const MIGRATIONS: &[&str] = &[TABLES, BY_STAGE, LAST_STUDY];

const TABLES: &str = "
CREATE TABLE studies (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    spec TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    revision INTEGER NOT NULL DEFAULT 0,
    next INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE trials (
    study INTEGER NOT NULL REFERENCES studies (id),
    number INTEGER NOT NULL,
    stage INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    token TEXT,
    worker TEXT,
    deadline_ms INTEGER,
    opened TEXT,
    PRIMARY KEY (study, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX trials_open ON trials (study, stage, number) WHERE stage < 3;
CREATE TABLE events (
    study INTEGER NOT NULL REFERENCES studies (id),
    revision INTEGER NOT NULL,
    number INTEGER,
    at_ms INTEGER NOT NULL,
    change TEXT NOT NULL,
    PRIMARY KEY (study, revision)
) STRICT, WITHOUT ROWID;
";

/// The planner never used the old index: it takes a partial one only where its very condition stands in the query. Ended
/// trials are in none of these, so that a study of any length asks as fast as a new one.
const BY_STAGE: &str = "
DROP INDEX IF EXISTS trials_open;
CREATE INDEX trials_reserved ON trials (study, number) WHERE stage = 0;
CREATE INDEX trials_waiting ON trials (study, number) WHERE stage = 1;
CREATE INDEX trials_running ON trials (study, number) WHERE stage = 2;
";

/// The key of a study that was deleted is never given to another one: whoever still holds it must not write there.
const LAST_STUDY: &str = "
CREATE TABLE last_study (id INTEGER NOT NULL) STRICT;
INSERT INTO last_study SELECT coalesce(max(id), 0) FROM studies;
";

/// Opens the file, making it if there is none: a connection for writing, and one for reading.
pub(super) fn open(path: &Path, how: &Opening) -> Result<(Connection, Connection), StorageError> {
    if let Some(system) = (how.network)(path) {
        return Err(StorageError::Network { path: path.to_owned(), system });
    }
    let explain = |why: rusqlite::Error| explain(path, &why);
    if let Some(snapshot) = unwritable(path) {
        let open = || snapshot.connect().map_err(explain);
        let connection = open()?;
        let found = schema(path, &connection, MIGRATIONS.len() as i64)?;
        if found != MIGRATIONS.len() as i64 {
            let why = "it is of an older kilter and cannot be written; copy it to where it can".to_owned();
            return Err(StorageError::Unusable { path: path.to_owned(), why });
        }
        return Ok((connection, open()?));
    }
    let mut writer = connect(path).map_err(explain)?;
    let durability = match how.durability {
        Durability::Normal => "normal",
        Durability::Full => "full",
    };
    // Before anything is written: a new file waits for the disk no more often than it must, either.
    writer.pragma_update(None, "synchronous", durability).map_err(explain)?;
    migrate(path, &mut writer, MIGRATIONS)?;
    Ok((writer, connect(path).map_err(explain)?))
}

/// A file that nobody can write at present, to be looked at as it is.
struct Snapshot(String);

impl Snapshot {
    fn connect(&self) -> rusqlite::Result<Connection> {
        Connection::open_with_flags(&self.0, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI)
    }
}

/// Reading a file in WAL mode needs a second file beside it. Where none can be made, as on a read-only medium or in
/// another's folder, the file can be looked at by itself, so long as no writer's log lies beside it.
fn unwritable(path: &Path) -> Option<Snapshot> {
    use std::fmt::Write;
    use std::os::unix::ffi::OsStrExt;

    if !path.is_file() || beside(path, "-wal").exists() {
        return None;
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let may_write = |path: &Path| nix::unistd::access(path, nix::unistd::AccessFlags::W_OK).is_ok();
    if may_write(folder) {
        return None;
    }
    let mut address = "file:".to_owned();
    for byte in Path::new(".").join(path).as_os_str().as_bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"/._-".contains(byte);
        // Writing into a string does not fail.
        let _ = if plain { write!(address, "{}", *byte as char) } else { write!(address, "%{byte:02X}") };
    }
    Some(Snapshot(address + "?immutable=1"))
}

/// `path` with something behind its name.
fn beside(path: &Path, end: &str) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    // SQLite gives `:memory:` and `file:` meanings of their own; behind a `./` they are files like any other.
    let mut connection = Connection::open(Path::new(".").join(path))?;
    // SQLite's own busy handler backs off to 100 ms and starves some of many writers: short random waits are fair.
    connection.busy_handler(Some(wait_a_little))?;
    Ok(connection)
}

/// How long anybody waits for another's transaction.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits in line, or outside of it a little, by chance; tells whether to try again. Outside, everybody waits as long on average however often he tried, so
/// nobody is favoured; and as long as it took the last times, so that many waiting processes do not spend the machine on
/// looking.
fn wait_a_little(tries: i32) -> bool {
    const SHORTEST_US: u32 = 100;
    const LONGEST_US: u32 = 4_000;
    static MEAN_US: AtomicU32 = AtomicU32::new(SHORTEST_US);
    static TRIED: AtomicI32 = AtomicI32::new(0);
    thread_local! {
        static SINCE: std::cell::Cell<Option<Instant>> = const { std::cell::Cell::new(None) };
    }
    let now = Instant::now();
    if tries == 0 {
        SINCE.set(Some(now));
    }
    let since = SINCE.get().unwrap_or(now);
    if line::wait() {
        return since.elapsed() < PATIENCE;
    }
    let mut mean = MEAN_US.load(Ordering::Relaxed);
    if tries == 0 {
        mean = match TRIED.load(Ordering::Relaxed) {
            0..=1 => (mean / 2).max(SHORTEST_US),
            2..=4 => mean,
            _ => (mean * 2).min(LONGEST_US),
        };
        MEAN_US.store(mean, Ordering::Relaxed);
    }
    TRIED.store(tries, Ordering::Relaxed);
    let jitter = Stream::new(&[u64::from(std::process::id()), tries as u64, since.elapsed().as_nanos() as u64], "busy")
        .uniform();
    std::thread::sleep(Duration::from_micros((f64::from(2 * mean) * jitter) as u64 + 20));
    since.elapsed() < PATIENCE
}

fn number(connection: &Connection, pragma: &str) -> rusqlite::Result<i64> {
    connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0))
}

/// The schema that the file has; 0 if it is new.
fn schema(path: &Path, connection: &Connection, known: i64) -> Result<i64, StorageError> {
    let explain = |why: rusqlite::Error| explain(path, &why);
    // Reading anything at all tells whether the file is a database.
    let mut ours = number(connection, "application_id").map_err(explain)? == APPLICATION_ID;
    if !ours {
        let count = |what: &str| -> rusqlite::Result<i64> {
            connection.query_row(&format!("SELECT count(*) FROM sqlite_schema {what}"), [], |row| row.get(0))
        };
        if count("").map_err(explain)? > 0 {
            // Two processes may make the file together; whoever comes second finds it made.
            ours = number(connection, "application_id").map_err(explain)? == APPLICATION_ID;
            if !ours {
                let optuna = count("WHERE name = 'trial_params'").map_err(explain)? > 0;
                let whose = if optuna { "an Optuna database" } else { "another program's SQLite database" };
                return Err(StorageError::NotOurs { path: path.to_owned(), why: format!("it is {whose}") });
            }
        }
    }
    refuse_newer(path, if ours { number(connection, "user_version").map_err(explain)? } else { 0 }, known)
}

fn refuse_newer(path: &Path, found: i64, known: i64) -> Result<i64, StorageError> {
    match found > known {
        true => Err(StorageError::Newer { path: path.to_owned(), found, known }),
        false => Ok(found),
    }
}

/// Brings the file to the newest schema: makes the tables if it is new, carries an older one forward, in one transaction.
fn migrate(path: &Path, connection: &mut Connection, steps: &[&str]) -> Result<(), StorageError> {
    let explain = |why: rusqlite::Error| explain(path, &why);
    let known = steps.len() as i64;
    let found = schema(path, connection, known)?;
    write_ahead(connection).map_err(explain)?;
    if found == known {
        return Ok(());
    }
    let mut carry = || -> rusqlite::Result<i64> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Another process may have been quicker, and may even be newer.
        let found = number(&transaction, "user_version")?;
        for step in steps.iter().skip(usize::try_from(found).unwrap_or(0)) {
            transaction.execute_batch(step)?;
        }
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", found.max(known))?;
        transaction.commit()?;
        Ok(found)
    };
    refuse_newer(path, carry().map_err(explain)?, known).map(drop)
}

/// Which file a path names: its device and its number there.
pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).ok().map(|data| (data.dev(), data.ino()))
}

/// Puts the file into WAL mode.
fn write_ahead(connection: &Connection) -> rusqlite::Result<()> {
    // The change to WAL needs the file for itself, and while waiting for that SQLite does not call the busy handler.
    let since = Instant::now();
    let mut tries = 0;
    while let Err(why) = connection.pragma_update(None, "journal_mode", "wal") {
        if why.sqlite_error_code() != Some(ErrorCode::DatabaseBusy) || since.elapsed() > PATIENCE {
            return Err(why);
        }
        wait_a_little(tries);
        tries += 1;
    }
    Ok(())
}

/// The network file system that a path lies on: there processes of several machines share no memory, which SQLite's
/// write-ahead log needs.
#[cfg(target_os = "linux")]
fn network_file_system(path: &Path) -> Option<String> {
    use nix::sys::statfs::statfs;

    // From linux/magic.h and the file systems' own sources. Not 9P: sandboxes have their own disk behind it.
    const NETWORK: [(u32, &str); 14] = [
        (0x6969, "NFS"),
        (0x517B, "SMB"),
        (0xFE53_4D42, "SMB"),
        (0xFF53_4D42, "CIFS"),
        (0x00C3_6400, "Ceph"),
        (0x0BD0_0BD0, "Lustre"),
        (0x4750_4653, "GPFS"),
        (0x1983_0326, "BeeGFS"),
        (0x2003_0528, "OrangeFS"),
        (0x5346_414F, "AFS"),
        (0x6B41_4653, "AFS"),
        (0x7375_7245, "Coda"),
        (0x0000_564C, "NCP"),
        (0x786F_4256, "a VirtualBox shared folder"),
    ];
    const FUSE: u32 = 0x6573_5546;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    // A link to a file elsewhere is where the file is.
    let found = statfs(path).or_else(|_| statfs(folder)).ok()?.filesystem_type().0 as u32;
    if found == FUSE {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
        let real = std::fs::canonicalize(path).or_else(|_| std::fs::canonicalize(folder)).ok()?;
        return remote_fuse(&mounts, &real);
    }
    NETWORK.iter().find(|(magic, _)| *magic == found).map(|(_, name)| (*name).to_owned())
}

#[cfg(not(target_os = "linux"))]
fn network_file_system(_: &Path) -> Option<String> {
    None
}

/// Most FUSE file systems are local; these are known to fetch from elsewhere. `mounts` is a `/proc/self/mountinfo`.
#[cfg(target_os = "linux")]
fn remote_fuse(mounts: &str, path: &Path) -> Option<String> {
    const REMOTE: [&str; 9] =
        ["sshfs", "glusterfs", "s3fs", "rclone", "gcsfuse", "gvfsd-fuse", "ceph-fuse", "blobfuse", "mount-s3"];
    let kind = mounts
        .lines()
        .filter_map(|line| {
            let (place, system) = line.split_once(" - ")?;
            let point = place.split(' ').nth(4)?.replace("\\040", " ");
            path.starts_with(&point).then(|| (point.len(), system.split(' ').next().unwrap_or_default()))
        })
        .max_by_key(|(length, _)| *length)?
        .1;
    let kind = kind.strip_prefix("fuse.").unwrap_or(kind);
    REMOTE.contains(&kind).then(|| kind.to_owned())
}

pub(super) fn explain(path: &Path, why: &rusqlite::Error) -> StorageError {
    let path = path.to_owned();
    match why.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => StorageError::NotOurs { path, why: "it is not a SQLite file".to_owned() },
        Some(ErrorCode::CannotOpen) => StorageError::Unusable {
            why: match path.parent() {
                Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => {
                    format!("the folder {} does not exist", folder.display())
                }
                _ if path.is_dir() => "it is a folder".to_owned(),
                _ => "the file cannot be opened or made there".to_owned(),
            },
            path,
        },
        Some(ErrorCode::ReadOnly) => StorageError::Unusable { path, why: "the file is read-only".to_owned() },
        Some(ErrorCode::DiskFull) => StorageError::full(path),
        _ => StorageError::Unusable { path, why: why.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::{Durability, MIGRATIONS, Opening, connect, migrate, number, open, remote_fuse};
    use crate::storage::StorageError;

    #[test]
    fn an_older_schema_is_carried_forward_once_whoever_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old.db");
        drop(open(&path, &Opening::default()).unwrap());
        let more = [MIGRATIONS, &["ALTER TABLE studies ADD COLUMN colour TEXT NOT NULL DEFAULT 'blue'"]].concat();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| migrate(&path, &mut connect(&path).unwrap(), &more).unwrap());
            }
        });
        let connection = connect(&path).unwrap();
        assert_eq!(number(&connection, "user_version").unwrap(), more.len() as i64);
        connection.prepare("SELECT colour FROM studies").unwrap();
        let refused = open(&path, &Opening::default());
        assert!(matches!(refused, Err(StorageError::Newer { found, known, .. }) if found == known + 1));
    }

    #[test]
    fn a_migration_that_fails_leaves_the_file_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old.db");
        drop(open(&path, &Opening::default()).unwrap());
        let bad = [MIGRATIONS, &["CREATE TABLE half (a); CREATE TABLE studies (a);"]].concat();
        assert!(migrate(&path, &mut connect(&path).unwrap(), &bad).is_err());
        let (connection, _) = open(&path, &Opening::default()).unwrap();
        assert_eq!(number(&connection, "user_version").unwrap(), MIGRATIONS.len() as i64);
        assert!(connection.prepare("SELECT * FROM half").is_err());
    }

    #[test]
    fn durability_is_what_was_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        for (durability, synchronous) in [(Durability::Normal, 1), (Durability::Full, 2)] {
            let how = Opening { durability, ..Opening::default() };
            let (writer, _) = open(&folder.path().join("s.db"), &how).unwrap();
            assert_eq!(number(&writer, "synchronous").unwrap(), synchronous);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn remote_fuse_file_systems_are_told_from_local_ones() {
        let mounts = "22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n\
                      40 22 0:50 / /mnt/far\\040away rw shared:2 - fuse.sshfs host:/home rw\n\
                      41 22 0:51 / /mnt/usb rw - fuseblk /dev/sdb1 rw\n";
        let system = |path: &str| remote_fuse(mounts, std::path::Path::new(path));
        assert_eq!(system("/mnt/far away/kilter.db").as_deref(), Some("sshfs"));
        assert_eq!(system("/mnt/usb/kilter.db"), None);
        assert_eq!(system("/home/kilter.db"), None);
    }
}
