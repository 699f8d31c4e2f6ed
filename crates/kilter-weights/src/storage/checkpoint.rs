//! Checkpoints: one file, or shards with an index, seen as one list of tensors.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::dtype::Dtype;
use super::header::{Distinct, Header, HeaderFault, TensorInfo};
use super::window::Window;
use crate::fault::WeightsError;

/// How an index of shards ends.
pub(super) const INDEX: &str = ".safetensors.index.json";

/// How many differences of two checkpoints are told.
const TOLD: usize = 5;

/// A checkpoint on disk.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    path: PathBuf,
    files: Vec<Arc<Shard>>,
    tensors: Vec<Tensor>,
    by_name: HashMap<String, usize>,
    metadata: BTreeMap<String, String>,
}

/// One file of a checkpoint.
#[derive(Debug)]
struct Shard {
    path: PathBuf,
    file: File,
    length: u64,
}

/// One tensor of a checkpoint: its description, and where its bytes are.
#[derive(Clone, Debug)]
pub struct Tensor {
    info: TensorInfo,
    shard: Arc<Shard>,
    data_begin: u64,
}

/// What an index file says.
#[derive(Deserialize)]
struct Index {
    weight_map: Distinct<String>,
}

impl Checkpoint {
    /// Opens a `.safetensors` file, a `.safetensors.index.json`, or a folder that holds `model.safetensors` or its index.
    /// Only headers are read.
    ///
    /// # Errors
    /// [`WeightsError`] if a file cannot be read, is a PyTorch pickle, or has a header that its bytes do not bear out.
    pub fn open(path: &Path) -> Result<Self, WeightsError> {
        if path.is_dir() {
            let single = path.join("model.safetensors");
            let index = path.join("model.safetensors.index.json");
            return Self::open(if !single.exists() && index.exists() { &index } else { &single });
        }
        if path.to_string_lossy().ends_with(INDEX) { Self::sharded(path) } else { Self::single(path) }
    }

    fn single(path: &Path) -> Result<Self, WeightsError> {
        let (header, shard) = Shard::open(path)?;
        let shard = Arc::new(shard);
        let tensors = header.tensors.into_iter();
        let tensors =
            tensors.map(|info| Tensor { info, shard: shard.clone(), data_begin: header.data_begin }).collect();
        Ok(Self::new(path, vec![shard], tensors, header.metadata))
    }

    fn sharded(path: &Path) -> Result<Self, WeightsError> {
        let wrong = |why: String| WeightsError::Index { path: path.to_owned(), why };
        let text = std::fs::read(path).map_err(|why| WeightsError::io("read", path, why))?;
        let index: Index = serde_json::from_slice(&text).map_err(|why| wrong(format!("no index of shards: {why}")))?;
        let index = index.weight_map.0;
        let mut names: Vec<&String> = index.values().collect();
        names.sort();
        names.dedup();
        let folder = path.parent().unwrap_or(Path::new(""));
        let (mut files, mut tensors, mut metadata) = (Vec::new(), Vec::new(), BTreeMap::new());
        for name in names {
            // An index comes with the shards from somewhere else: it must not lead out of its folder.
            if Path::new(name).file_name() != Some(name.as_ref()) {
                return Err(wrong(format!("{name:?} is not the name of a file beside the index")));
            }
            let (header, shard) = Shard::open(&folder.join(name))?;
            let shard = Arc::new(shard);
            files.push(shard.clone());
            for info in header.tensors {
                match index.get(&info.name) {
                    Some(file) if file == name => {}
                    Some(file) => {
                        return Err(wrong(format!("tensor `{}` should be in `{file}` and is in `{name}`", info.name)));
                    }
                    None => return Err(wrong(format!("`{name}` holds a tensor `{}` that the index lacks", info.name))),
                }
                tensors.push(Tensor { info, shard: shard.clone(), data_begin: header.data_begin });
            }
            metadata.extend(header.metadata);
        }
        let checkpoint = Self::new(path, files, tensors, metadata);
        match index.iter().find(|(name, _)| checkpoint.get(name).is_none()) {
            Some((name, file)) => Err(wrong(format!("tensor `{name}` should be in `{file}` and is not"))),
            None => Ok(checkpoint),
        }
    }

    fn new(path: &Path, files: Vec<Arc<Shard>>, tensors: Vec<Tensor>, metadata: BTreeMap<String, String>) -> Self {
        let by_name = tensors.iter().enumerate().map(|(i, tensor)| (tensor.name().to_owned(), i)).collect();
        Self { path: path.to_owned(), files, tensors, by_name, metadata }
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its tensors in file order, shard after shard.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// The tensor of this name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.by_name.get(name).map(|&i| &self.tensors[i])
    }

    /// What its files say about themselves.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Bytes of all tensors.
    pub fn bytes(&self) -> u64 {
        self.tensors.iter().map(Tensor::bytes).sum()
    }

    /// Is `path` one of its files, or its index, under whatever name?
    pub fn holds(&self, path: &Path) -> bool {
        use std::os::unix::fs::MetadataExt;
        let Ok(other) = std::fs::metadata(path) else { return false };
        let identity = |file: &std::fs::Metadata| (file.dev(), file.ino());
        let files = self.files.iter().filter_map(|shard| shard.file.metadata().ok());
        let index = std::fs::metadata(&self.path).ok();
        files.chain(index).any(|file| identity(&file) == identity(&other))
    }

    /// Has `other` the same tensors, in whatever order? Element types may differ as long as both are float types.
    ///
    /// # Errors
    /// [`WeightsError::Mismatch`] with the first five differences, in the order of this checkpoint and then of the other.
    pub fn same_architecture(&self, other: &Self) -> Result<(), WeightsError> {
        let describe = |tensor: &Tensor| format!("{} {:?}", tensor.dtype(), tensor.shape());
        let only = |tensor: &Tensor, of: &Self| {
            format!("`{}` ({}) is only in {}", tensor.name(), describe(tensor), of.path.display())
        };
        let mut of_ours = self.tensors.iter().filter_map(|ours| {
            let Some(theirs) = other.get(ours.name()) else { return Some(only(ours, self)) };
            let same_kind = ours.dtype() == theirs.dtype() || (ours.dtype().is_float() && theirs.dtype().is_float());
            (ours.shape() != theirs.shape() || !same_kind).then(|| {
                format!("`{}` is {} in the first and {} in the second", ours.name(), describe(ours), describe(theirs))
            })
        });
        let mut of_theirs =
            other.tensors.iter().filter(|theirs| self.get(theirs.name()).is_none()).map(|theirs| only(theirs, other));
        let (mut differences, theirs): (Vec<String>, Vec<String>) =
            (of_ours.by_ref().take(TOLD).collect(), of_theirs.by_ref().take(TOLD).collect());
        if differences.is_empty() && theirs.is_empty() {
            return Ok(());
        }
        // Both sides are told, however many the one side lacks.
        let room_for_ours = TOLD - theirs.len().min(2.max(TOLD - differences.len()));
        let mut more = of_ours.count() + of_theirs.count() + differences.len() + theirs.len();
        differences.truncate(room_for_ours);
        differences.extend(theirs.into_iter().take(TOLD - differences.len()));
        more -= differences.len();
        if more > 0 {
            differences.push(format!("and {more} more"));
        }
        Err(WeightsError::Mismatch { left: self.path.clone(), right: other.path.clone(), differences })
    }
}

impl Shard {
    fn open(path: &Path) -> Result<(Header, Self), WeightsError> {
        let io = |why| WeightsError::io("read", path, why);
        let invalid = |why| WeightsError::Header { path: path.to_owned(), why };
        let mut file = File::open(path).map_err(|why| WeightsError::io("open", path, why))?;
        let length = file.metadata().map_err(io)?.len();
        let mut first = [0; 8];
        let got = read_up_to(&mut file, &mut first).map_err(io)?;
        if is_pickle(path, &first[..got]) {
            return Err(WeightsError::Pickle { path: path.to_owned() });
        }
        if got < first.len() {
            return Err(invalid(HeaderFault::TooShort(length)));
        }
        let header_length = Header::length(first, length).map_err(invalid)?;
        // At most 100 MB, and no more than the file has: what is allocated here is really there.
        let mut json = vec![0; header_length as usize];
        file.read_exact(&mut json).map_err(io)?;
        let header = Header::parse(&json, length).map_err(invalid)?;
        Ok((header, Self { path: path.to_owned(), file, length }))
    }
}

fn read_up_to(file: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match file.read(&mut buffer[got..])? {
            0 => break,
            n => got += n,
        }
    }
    Ok(got)
}

/// A zip archive (PyTorch since 1.6) whatever its name, or a file of one of the names that PyTorch's files have.
fn is_pickle(path: &Path, first: &[u8]) -> bool {
    first.starts_with(b"PK\x03\x04")
        || path.extension().is_some_and(|ending| ["bin", "pt", "pth", "ckpt"].iter().any(|&e| ending == e))
}

impl Tensor {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.info.name
    }

    /// The type of its entries.
    pub fn dtype(&self) -> Dtype {
        self.info.dtype
    }

    /// Its shape; empty for a single number.
    pub fn shape(&self) -> &[u64] {
        &self.info.shape
    }

    /// How many entries it has.
    pub fn entries(&self) -> u64 {
        self.info.entries()
    }

    /// How many bytes they take.
    pub fn bytes(&self) -> u64 {
        self.info.end - self.info.begin
    }

    /// The file that holds it.
    pub fn path(&self) -> &Path {
        &self.shard.path
    }

    /// Some of its bytes, counted from its first, mapped until dropped.
    ///
    /// # Errors
    /// If the file changed its length since it was opened, or the system refuses.
    pub fn window(&self, bytes: Range<u64>) -> Result<Window, WeightsError> {
        debug_assert!(bytes.start <= bytes.end && bytes.end <= self.bytes());
        let offset = self.data_begin + self.info.begin + bytes.start;
        let length = (bytes.end - bytes.start) as usize;
        Window::open(&self.shard.file, &self.shard.path, self.shard.length, offset, length)
    }
}
