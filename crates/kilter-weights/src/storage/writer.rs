//! Writing a checkpoint as one act: under temporary names beside the target, renamed when the last byte is written.
//!
//! Whatever goes wrong before that (a full disk, an error, a panic, an interruption that unwinds) removes the temporary
//! files and leaves what was there before. The files are not forced to the disk (`fsync`): after a power cut within
//! seconds they may be gone, like any file just copied.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use super::checkpoint::{Checkpoint, INDEX};
use super::dtype::Dtype;
use crate::fault::WeightsError;

/// A tensor that will be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// Its name.
    pub name: String,
    /// The type of its entries.
    pub dtype: Dtype,
    /// Its shape.
    pub shape: Vec<u64>,
}

impl Declared {
    /// Its size in bytes.
    ///
    /// # Errors
    /// If that is no whole number below 2⁶⁴.
    pub fn bytes(&self) -> Result<u64, WeightsError> {
        let entries = self.shape.iter().try_fold(1_u64, |n, &side| n.checked_mul(side));
        entries.and_then(|n| self.dtype.size(n)).ok_or_else(|| {
            WeightsError::setting(format!("tensor `{}` of shape {:?} has no size in bytes", self.name, self.shape))
        })
    }
}

/// A tensor that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TensorRecord {
    /// Its name.
    pub name: String,
    /// The type of its entries.
    pub dtype: Dtype,
    /// Its shape.
    pub shape: Vec<u64>,
    /// Its size in bytes.
    pub bytes: u64,
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Written {
    /// The files, the index last if there is one.
    pub files: Vec<PathBuf>,
    /// Bytes of all tensors.
    pub bytes: u64,
    /// The tensors, in the order written.
    pub tensors: Vec<TensorRecord>,
}

/// A checkpoint being written. Tensors come one after the other, each in as many pieces as its maker likes.
pub struct Writer {
    target: PathBuf,
    files: Vec<(PathBuf, NamedTempFile)>,
    tensors: Vec<Declared>,
    /// For each tensor, its file and its size.
    place: Vec<(usize, u64)>,
    at: usize,
    left: u64,
    digest: Sha256,
    records: Vec<TensorRecord>,
}

/// The order in which tensors are best written: wide types first, so that every entry lies at a multiple of its width,
/// as readers that view bytes as numbers need it; else as given.
pub(crate) fn alignment_order(widths: impl Iterator<Item = u64>) -> Vec<usize> {
    let widths: Vec<u64> = widths.collect();
    let mut order: Vec<usize> = (0..widths.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(widths[i]));
    order
}

impl Writer {
    /// Begins `target` with these tensors, in this order: one file, or, if its name ends in `.safetensors.index.json`,
    /// shards of at most `shard_bytes` (a tensor is never cut, so one that is larger makes a larger shard).
    ///
    /// # Errors
    /// If `target` is one of the `inputs`, a name stands twice, or the folder cannot be written to.
    pub fn create(
        target: &Path,
        tensors: Vec<Declared>,
        metadata: &BTreeMap<String, String>,
        inputs: &[&Checkpoint],
        shard_bytes: u64,
    ) -> Result<Self, WeightsError> {
        let stem = target.to_string_lossy().strip_suffix(INDEX).map(str::to_owned);
        if target.extension().is_none_or(|ending| ending != "safetensors") && stem.is_none() {
            return Err(WeightsError::setting(format!(
                "{}: the output's name must end in .safetensors (one file) or .safetensors.index.json (shards)",
                target.display()
            )));
        }
        let mut names = std::collections::HashSet::new();
        if let Some(twice) = tensors.iter().find(|tensor| !names.insert(&tensor.name)) {
            return Err(WeightsError::setting(format!("two tensors are named `{}`", twice.name)));
        }
        let mut sizes = Vec::with_capacity(tensors.len());
        let (mut shard, mut filled) = (0, 0_u64);
        for tensor in &tensors {
            let size = tensor.bytes()?;
            if stem.is_some() && filled > 0 && filled + size > shard_bytes {
                (shard, filled) = (shard + 1, 0);
            }
            filled += size;
            sizes.push((shard, size));
        }
        let paths: Vec<PathBuf> = match stem {
            None => vec![target.to_owned()],
            Some(stem) => (1..=shard + 1)
                .map(|i| PathBuf::from(format!("{stem}-{i:05}-of-{:05}.safetensors", shard + 1)))
                .collect(),
        };
        if let Some(input) = inputs.iter().find_map(|input| {
            std::iter::once(target).chain(paths.iter().map(PathBuf::as_path)).find(|path| input.holds(path))
        }) {
            return Err(WeightsError::OutputIsInput { path: input.to_owned() });
        }
        let mut files = Vec::with_capacity(paths.len());
        for (i, path) in paths.into_iter().enumerate() {
            let members: Vec<_> =
                tensors.iter().zip(&sizes).filter(|(_, (of, _))| *of == i).map(|(t, (_, size))| (t, *size)).collect();
            let mut file = temporary(&path)?;
            file.write_all(&header(&members, metadata)).map_err(|why| WeightsError::io("write", &path, why))?;
            files.push((path, file));
        }
        let mut writer = Self {
            target: target.to_owned(),
            files,
            left: 0,
            at: 0,
            place: sizes,
            digest: Sha256::new(),
            records: Vec::with_capacity(tensors.len()),
            tensors,
        };
        writer.left = writer.place.first().map_or(0, |(_, size)| *size);
        writer.close_full();
        Ok(writer)
    }

    /// Appends bytes; they may end one tensor and begin the next.
    ///
    /// # Errors
    /// If the disk is full, or more comes than was declared.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), WeightsError> {
        while !bytes.is_empty() {
            let Some(&(file, _)) = self.place.get(self.at) else {
                return Err(WeightsError::setting("more bytes were written than the tensors have"));
            };
            let take = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
            let (now, later) = bytes.split_at(take);
            let (path, file) = &mut self.files[file];
            file.write_all(now).map_err(|why| WeightsError::io("write", path, why))?;
            self.digest.update(now);
            self.left -= take as u64;
            self.close_full();
            bytes = later;
        }
        Ok(())
    }

    /// Moves past every tensor of which nothing is left to write.
    fn close_full(&mut self) {
        while self.left == 0 && self.at < self.tensors.len() {
            let Declared { name, dtype, shape } = self.tensors[self.at].clone();
            let digest = self.digest.finalize_reset();
            let sha256 = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            self.records.push(TensorRecord { name, dtype, shape, bytes: self.place[self.at].1, sha256 });
            self.at += 1;
            self.left = self.place.get(self.at).map_or(0, |(_, size)| *size);
        }
    }

    /// Gives the files their names; an index comes last, so that it never names a shard that is not there.
    ///
    /// # Errors
    /// If less was written than was declared, or the system refuses a rename.
    pub fn finish(self) -> Result<Written, WeightsError> {
        if let Some(tensor) = self.tensors.get(self.at) {
            return Err(WeightsError::setting(format!("tensor `{}` was not written to its end", tensor.name)));
        }
        let bytes = self.place.iter().map(|(_, size)| size).sum();
        let mut files: Vec<PathBuf> = Vec::with_capacity(self.files.len() + 1);
        let sharded = self.files.first().is_none_or(|(path, _)| *path != self.target);
        let index = if sharded {
            let names: Vec<String> = self.files.iter().map(|(path, _)| file_name(path)).collect();
            let place = self.tensors.iter().zip(&self.place);
            let map: BTreeMap<&str, &str> =
                place.map(|(tensor, (file, _))| (tensor.name.as_str(), names[*file].as_str())).collect();
            let mut file = temporary(&self.target)?;
            let document = json!({ "metadata": { "total_size": bytes }, "weight_map": map });
            writeln!(file, "{document:#}").map_err(|why| WeightsError::io("write", &self.target, why))?;
            Some((self.target.clone(), file))
        } else {
            None
        };
        for (path, file) in self.files.into_iter().chain(index) {
            if let Err(why) = file.persist(&path) {
                // What was already renamed belongs to nothing without the rest.
                for done in &files {
                    let _ = std::fs::remove_file(done);
                }
                return Err(WeightsError::io("write", &path, why.error));
            }
            files.push(path);
        }
        Ok(Written { files, bytes, tensors: self.records })
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A nameless-to-be file beside `path`, with the permissions that the user's mask gives.
fn temporary(path: &Path) -> Result<NamedTempFile, WeightsError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    tempfile::Builder::new()
        .prefix(".kilter-")
        .suffix(".partial")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)
        .map_err(|why| WeightsError::io("write", path, why))
}

/// The length and the JSON, filled with spaces to a multiple of eight.
fn header(tensors: &[(&Declared, u64)], metadata: &BTreeMap<String, String>) -> Vec<u8> {
    let mut begin = 0;
    let mut fields = Vec::with_capacity(tensors.len() + 1);
    if !metadata.is_empty() {
        fields.push(format!("\"__metadata__\":{}", json!(metadata)));
    }
    for (tensor, size) in tensors {
        let entry = json!({
            "dtype": tensor.dtype.name(), "shape": tensor.shape, "data_offsets": [begin, begin + size]
        });
        fields.push(format!("{}:{entry}", json!(tensor.name)));
        begin += size;
    }
    let mut json = format!("{{{}}}", fields.join(","));
    while !json.len().is_multiple_of(8) {
        json.push(' ');
    }
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.extend(json.into_bytes());
    bytes
}
