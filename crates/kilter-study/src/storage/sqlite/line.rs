//! Who looks whether the writer is done. Of many processes that wait to write, one looks often; the others stand in line
//! behind it and sleep. Else they would spend the machine on looking, and who comes to write would be a matter of luck.
//!
//! Only waiting is in line: whoever finds nobody writing writes at once. So a process that is stopped in the line holds up
//! nobody for long ([`PATIENCE`]), and what protects the file is SQLite's own lock, as ever.

use std::cell::RefCell;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kilter_numerics::Stream;

/// The line of those who wait to write a file: a lock on the file's folder, which needs no further file.
pub(super) struct Line(Option<Arc<File>>);

/// How long anybody stands in line before he looks for himself.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long those in line sleep on average.
const ASLEEP_US: f64 = 2_000.0;

/// How long the first of them sleeps on average: about half as long as a change takes.
const FIRST_US: f64 = 60.0;

thread_local! {
    static WAITING: RefCell<Option<Waiting>> = const { RefCell::new(None) };
}

/// A thread that wants to write.
struct Waiting {
    line: Arc<File>,
    since: Option<Instant>,
    place: Place,
}

#[derive(PartialEq)]
enum Place {
    Behind,
    First,
    /// The line does not get on, or there is none.
    Outside,
}

/// As long as it lives, this thread waits in line when it finds the file busy.
pub(super) struct Turn(());

impl Line {
    /// The line for this file.
    pub(super) fn of(path: &Path) -> Self {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        Self(File::open(folder).ok().map(Arc::new))
    }

    /// This thread wants to write.
    pub(super) fn turn(&self) -> Turn {
        let waiting = self.0.clone().map(|line| Waiting { line, since: None, place: Place::Behind });
        WAITING.replace(waiting);
        Turn(())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(Waiting { line, place: Place::First, .. }) = WAITING.take() {
            // A lock that cannot be given back ends with the file.
            let _ = line.unlock();
        }
    }
}

/// Waits in line, if this thread stands in one; tells whether it did.
pub(super) fn wait() -> bool {
    WAITING.with_borrow_mut(|waiting| waiting.as_mut().is_some_and(Waiting::wait))
}

impl Waiting {
    fn wait(&mut self) -> bool {
        let since = *self.since.get_or_insert_with(Instant::now);
        let mut jitter = Stream::new(&[u64::from(std::process::id()), since.elapsed().as_nanos() as u64], "line");
        let mut sleep = |mean_us: f64| {
            std::thread::sleep(Duration::from_micros((mean_us * (0.5 + jitter.uniform())) as u64));
        };
        if self.place == Place::First {
            sleep(FIRST_US);
        }
        while self.place == Place::Behind {
            match self.line.try_lock() {
                Ok(()) => self.place = Place::First,
                Err(std::fs::TryLockError::WouldBlock) if since.elapsed() < PATIENCE => sleep(ASLEEP_US),
                Err(_) => self.place = Place::Outside,
            }
        }
        self.place == Place::First
    }
}
