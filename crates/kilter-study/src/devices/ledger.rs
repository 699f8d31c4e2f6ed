//! Who uses which device of this machine: a folder of claims, one file for each running trial.
//!
//! A claim is alive as long as somebody holds a lock (flock) on its file: the tuner and the trial's supervisor. The kernel
//! lets go of the locks of the killed, so a dead claim shows itself; whoever comes next removes it. Choosing is guarded by
//! the lock on one more file. All of it belongs to one user.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use nix::unistd::getuid;

use super::{DeviceError, WHOLE};

/// The environment variable that names the folder of claims, for machines whose processes do not share `/tmp`
/// (containers): a folder that they share.
pub const LOCKS_VARIABLE: &str = "KILTER_LOCKS";

/// Claims that there are.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    folder: PathBuf,
}

/// A trial's claim; given up when dropped.
#[derive(Debug)]
pub(super) struct Claim {
    file: PathBuf,
    /// Holds the lock.
    _lock: File,
}

impl Claim {
    pub(super) fn file(&self) -> &Path {
        &self.file
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
        // A tuner inside the trial may have made one.
        let _ = std::fs::remove_dir_all(format!("{}.inner", self.file.display()));
    }
}

/// Some of one kind of device: their keys, how many, and how many thousandths of each.
type Want<'a> = (&'a [String], usize, u32);

/// A claim, and for each want the places of the chosen devices.
type Taken = (Claim, Vec<Vec<usize>>);

impl Ledger {
    /// The folder named by the environment, else this user's in `/tmp`: not in the session's runtime folder, which not
    /// every process of a user is told.
    pub(super) fn open() -> Result<Self, DeviceError> {
        let folder = match std::env::var_os(LOCKS_VARIABLE) {
            Some(folder) => PathBuf::from(folder),
            None => PathBuf::from(format!("/tmp/kilter-devices-{}", getuid())),
        };
        let ledger = Self { folder };
        ledger.make().map_err(|why| ledger.trouble(&why))?;
        Ok(ledger)
    }

    fn make(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        match self.folder.symlink_metadata()?.uid() == getuid().as_raw() {
            true => Ok(()),
            false => Err(io::Error::other("the folder belongs to another user")),
        }
    }

    fn trouble(&self, why: &io::Error) -> DeviceError {
        DeviceError::Ledger { folder: self.folder.clone(), why: why.to_string() }
    }

    /// Takes all that is wanted, or nothing.
    pub(super) fn take(&self, wants: &[Want<'_>]) -> Result<Option<Taken>, DeviceError> {
        self.try_take(wants).map_err(|why| self.trouble(&why))
    }

    fn try_take(&self, wants: &[Want<'_>]) -> io::Result<Option<Taken>> {
        self.make()?;
        let guard = OpenOptions::new().create(true).append(true).open(self.folder.join("lock"))?;
        guard.lock()?;
        let used = self.used()?;
        let Some(chosen) = wants.iter().map(|want| choose(want, &used)).collect::<Option<Vec<_>>>() else {
            return Ok(None);
        };
        let mut claimed = BTreeMap::new();
        for ((keys, _, thousandths), places) in wants.iter().zip(&chosen) {
            claimed.extend(places.iter().map(|&at| (keys[at].as_str(), *thousandths)));
        }
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join(format!("{}-{count}.claim", std::process::id()));
        // Processes of several containers may share a folder, and have the same number.
        let mut file = match OpenOptions::new().write(true).create_new(true).open(&path) {
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
            file => file?,
        };
        file.lock_shared()?;
        file.write_all(&serde_json::to_vec(&claimed)?)?;
        Ok(Some((Claim { file: path, _lock: file }, chosen)))
    }

    /// What living claims use, in thousandths. The dead ones are removed.
    fn used(&self) -> io::Result<BTreeMap<String, u32>> {
        let mut used = BTreeMap::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "claim") {
                continue;
            }
            // One that is given up just now is not there any more.
            let Ok(mut file) = File::open(&path) else { continue };
            match file.try_lock() {
                Ok(()) => {
                    std::fs::remove_file(&path)?;
                    let _ = std::fs::remove_dir_all(format!("{}.inner", path.display()));
                }
                Err(TryLockError::WouldBlock) => {
                    let mut text = String::new();
                    file.read_to_string(&mut text)?;
                    let claimed: BTreeMap<String, u32> = serde_json::from_str(&text)?;
                    for (key, thousandths) in claimed {
                        *used.entry(key).or_insert(0) += thousandths;
                    }
                }
                Err(TryLockError::Error(why)) => return Err(why),
            }
        }
        Ok(used)
    }
}

/// The least used devices first, the earlier of equals first; nothing, if too few have room.
fn choose((keys, count, thousandths): &Want<'_>, used: &BTreeMap<String, u32>) -> Option<Vec<usize>> {
    let use_of = |at: &usize| used.get(&keys[*at]).copied().unwrap_or(0);
    let mut free: Vec<usize> = (0..keys.len()).filter(|at| use_of(at) + thousandths <= WHOLE).collect();
    free.sort_by_key(use_of);
    free.truncate(*count);
    free.sort_unstable();
    (free.len() == *count).then_some(free)
}

#[cfg(test)]
mod tests {
    use super::{Ledger, WHOLE};

    fn keys(count: usize) -> Vec<String> {
        (0..count).map(|i| format!("gpu {i}")).collect()
    }

    #[test]
    fn devices_are_handed_out_once_and_again_when_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (Ledger { folder: folder.path().into() }, Ledger { folder: folder.path().into() });
        let keys = keys(3);
        let two = |ledger: &Ledger| ledger.take(&[(&keys, 2, WHOLE)]).unwrap();
        let (claim, chosen) = two(&one).unwrap();
        assert_eq!(chosen, [[0, 1]]);
        assert!(two(&other).is_none(), "one is left, two are wanted");
        drop(claim);
        assert_eq!(two(&other).unwrap().1, [[0, 1]]);
    }

    #[test]
    fn shares_of_one_device_spread_and_add_up() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger { folder: folder.path().into() };
        let keys = keys(2);
        let half = || ledger.take(&[(&keys, 1, WHOLE / 2)]).unwrap();
        let claims: Vec<_> = std::iter::from_fn(half).collect();
        let places: Vec<usize> = claims.iter().map(|(_, chosen)| chosen[0][0]).collect();
        assert_eq!(places, [0, 1, 0, 1]);
    }

    #[test]
    fn a_claim_of_the_dead_counts_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger { folder: folder.path().into() };
        // The file is there, but nobody holds its lock.
        std::fs::write(folder.path().join("1-0.claim"), r#"{"gpu 0":1000}"#).unwrap();
        let keys = keys(1);
        let held = ledger.take(&[(&keys, 1, WHOLE)]).unwrap();
        assert!(held.is_some());
        assert!(!folder.path().join("1-0.claim").exists());
        // All or nothing: what is left of one kind is not taken where another is missing.
        let more: Vec<String> = (5..7).map(|i| format!("gpu {i}")).collect();
        assert!(ledger.take(&[(&more, 1, WHOLE), (&keys, 1, WHOLE)]).unwrap().is_none());
        drop(held);
        assert_eq!(ledger.take(&[(&more[1..], 1, WHOLE), (&keys, 1, WHOLE)]).unwrap().unwrap().1, [[0], [0]]);
    }
}
