//! What can be wrong with checkpoints, and what would be right.

use std::fmt;
use std::path::{Path, PathBuf};

use kilter_space::{ConfigError, SpaceError};

use crate::storage::HeaderFault;

/// Why a checkpoint cannot be read, combined or written.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The operating system refused.
    #[error("cannot {action} {}: {why}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's reason.
        why: std::io::Error,
    },
    /// A file of PyTorch's own format, which runs code when it is opened.
    #[error(
        "{}: a PyTorch file runs code when it is opened, so it is not read here; convert it once:\n  {}",
        path.display(), conversion(path)
    )]
    Pickle {
        /// The file.
        path: PathBuf,
    },
    /// A file whose header lies or is broken.
    #[error("{}: no valid safetensors file: {why}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: HeaderFault,
    },
    /// A file that changed while it was read.
    #[error("{}: the file had {expected} bytes when it was opened and has {found} now; copy it to a place where nobody \
             writes it", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// Its length when opened, in bytes.
        expected: u64,
        /// Its length now, in bytes.
        found: u64,
    },
    /// An index of shards that does not fit them.
    #[error("{}: {why}", path.display())]
    Index {
        /// The index.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Two checkpoints that are not of one architecture.
    #[error("{} and {} are not of one architecture:\n  {}", left.display(), right.display(), differences.join("\n  "))]
    Mismatch {
        /// The first checkpoint.
        left: PathBuf,
        /// The one that differs.
        right: PathBuf,
        /// The first five differences, a line each.
        differences: Vec<String>,
    },
    /// A checkpoint whose weights are packed integers.
    #[error("{}: {bytes_integer} of its {bytes_all} bytes are integers, so it seems to be quantised; {advice}", path.display())]
    Quantised {
        /// The checkpoint.
        path: PathBuf,
        /// Bytes of integer tensors.
        bytes_integer: u64,
        /// Bytes of all tensors.
        bytes_all: u64,
        /// What would be right.
        advice: &'static str,
    },
    /// NaN or infinity among the weights.
    #[error("{}: tensor `{tensor}` holds {value} at entry {index}; the run that made it probably diverged (allow_non_finite=true \
             reads it all the same)", path.display())]
    NonFinite {
        /// The checkpoint.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The first such entry, counted in row-major order.
        index: u64,
        /// NaN, inf or -inf.
        value: f64,
    },
    /// A result that the output's element type cannot hold.
    #[error(
        "tensor `{tensor}`: {value:e} is beyond what {dtype} can hold ({limit:e}); write another type, as in dtype=f32, \
             or scale less"
    )]
    Overflow {
        /// The tensor.
        tensor: String,
        /// The result's size.
        value: f64,
        /// The output's element type.
        dtype: &'static str,
        /// The largest finite number of that type.
        limit: f64,
    },
    /// The output would replace an input.
    #[error("{}: the output is also an input; write to another file", path.display())]
    OutputIsInput {
        /// The file.
        path: PathBuf,
    },
    /// A method that needs the models' common origin.
    #[error("{method} works on the differences from the base model; name it, as in --base base.safetensors")]
    NoBase {
        /// The method.
        method: &'static str,
    },
    /// A number of models that a method cannot merge.
    #[error("{method} takes {wanted}, and {got} {} given", if *got == 1 { "is" } else { "are" })]
    Models {
        /// The method.
        method: &'static str,
        /// How many it takes.
        wanted: &'static str,
        /// How many there are.
        got: usize,
    },
    /// A hyperparameter out of range, or settings that contradict each other.
    #[error("{0}")]
    Setting(String),
    /// An evaluation that gave no score.
    #[error("the evaluation of {candidate} failed: {why}")]
    Evaluation {
        /// What was scored.
        candidate: String,
        /// Why there is no score.
        why: String,
    },
    /// The caller asked to stop; nothing was written.
    #[error("interrupted; nothing was written")]
    Interrupted,
}

impl WeightsError {
    pub(crate) fn io(action: &'static str, path: &Path, why: std::io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), why }
    }

    pub(crate) fn setting(why: impl fmt::Display) -> Self {
        Self::Setting(why.to_string())
    }
}

impl From<ConfigError> for WeightsError {
    fn from(why: ConfigError) -> Self {
        Self::setting(why)
    }
}

impl From<SpaceError> for WeightsError {
    fn from(why: SpaceError) -> Self {
        Self::setting(why)
    }
}

/// The line that turns a PyTorch file into a safetensors file. Shared tensors are copied: the format cannot share.
fn conversion(path: &Path) -> String {
    let to = path.with_extension("safetensors");
    format!(
        "python3 -c \"import sys, torch, safetensors.torch as s; s.save_file({{k: v.clone().contiguous() for k, v in \
         torch.load(sys.argv[1], map_location='cpu', weights_only=True).items()}}, sys.argv[2])\" '{}' '{}'",
        path.display(),
        to.display()
    )
}
