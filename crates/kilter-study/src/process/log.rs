//! What a trial prints: kept in a file of bounded size, its last lines in memory, every line shown to a listener.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

/// A log file grows to this size, in bytes; what comes after is counted, and its last lines are kept.
const LARGEST_FILE: u64 = 32 << 20;

/// What is kept of a stream.
#[derive(Default)]
pub(super) struct Kept {
    /// Its last lines.
    pub tail: Vec<String>,
    /// How many bytes are not in its file.
    pub left_out: u64,
}

/// A line is looked at up to this length, in bytes.
const LONGEST_LINE: usize = 64 << 10;

/// How many last lines are kept for messages, and how long each.
const TAIL_LINES: usize = 12;
const TAIL_WIDTH: usize = 400;

/// Copies `from` into the file at `path` until it ends, shows each line (without its end, invalid UTF-8 replaced) to
/// `line`, and gives the last lines.
pub(super) fn keep(mut from: impl Read, path: &Path, mut line: impl FnMut(&str)) -> Kept {
    // A full disk costs the log, not the trial: the metric is still read.
    let mut file = File::create(path).ok();
    let mut tail = VecDeque::with_capacity(TAIL_LINES + 1);
    let mut open_line: Vec<u8> = Vec::new();
    let (mut buffer, mut written, mut left_out) = (vec![0; 64 << 10], 0_u64, 0_u64);
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(why) if why.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        let chunk = &buffer[..read];
        let room = usize::try_from(LARGEST_FILE - written).unwrap_or(usize::MAX).min(read);
        if file.as_mut().is_some_and(|file| file.write_all(&chunk[..room]).is_err()) {
            file = None;
        }
        written += room as u64;
        left_out += (read - room) as u64;
        for part in chunk.split_inclusive(|&byte| byte == b'\n' || byte == b'\r') {
            let ends = part.ends_with(b"\n") || part.ends_with(b"\r");
            let content = if ends { &part[..part.len() - 1] } else { part };
            let room = LONGEST_LINE.saturating_sub(open_line.len()).min(content.len());
            open_line.extend_from_slice(&content[..room]);
            if ends {
                take_line(&mut open_line, &mut tail, &mut line);
            }
        }
    }
    take_line(&mut open_line, &mut tail, &mut line);
    if left_out > 0
        && let Some(file) = &mut file
    {
        let last: Vec<&str> = tail.iter().map(String::as_str).collect();
        let note = format!("\n[kilter: {left_out} more bytes left out; the last lines were]\n{}\n", last.join("\n"));
        let _ = file.write_all(note.as_bytes());
    }
    Kept { tail: tail.into(), left_out }
}

/// Progress bars end their lines with a carriage return, and leave empty ones behind.
fn take_line(bytes: &mut Vec<u8>, tail: &mut VecDeque<String>, line: &mut impl FnMut(&str)) {
    if bytes.is_empty() {
        return;
    }
    let text = String::from_utf8_lossy(bytes);
    line(&text);
    tail.push_back(text.chars().take(TAIL_WIDTH).collect());
    if tail.len() > TAIL_LINES {
        tail.pop_front();
    }
    drop(text);
    bytes.clear();
}

#[cfg(test)]
mod tests {
    use super::keep;

    #[test]
    fn lines_are_shown_whole_however_the_pipe_cuts_them_and_bad_bytes_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut seen = Vec::new();
        let tail = keep(&b"one\nt\xFFwo\r\rthree"[..], &path, |line| seen.push(line.to_owned()));
        assert_eq!(seen, ["one", "t\u{FFFD}wo", "three"]);
        assert_eq!((&tail.tail, tail.left_out), (&seen, 0));
        assert_eq!(std::fs::read(&path).unwrap(), b"one\nt\xFFwo\r\rthree");
    }

    #[test]
    fn a_flood_is_bounded_and_its_end_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let flood = "0123456789abcde\n".repeat(3 << 20) + "the end\n";
        let tail = keep(flood.as_bytes(), &path, |_| {});
        assert_eq!((tail.tail.last().unwrap().as_str(), tail.left_out), ("the end", 16_777_224));
        let file = std::fs::read_to_string(&path).unwrap();
        assert!(file.len() < (32 << 20) + 1000, "{}", file.len());
        assert!(file.ends_with("the end\n") && file.contains("16777224 more bytes left out"));
    }
}
