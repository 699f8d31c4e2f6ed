//! The header of a safetensors file, believed only as far as the file bears it out.
//!
//! A file is eight bytes of header length (little-endian), a JSON object, then the tensors' bytes. Every statement of the
//! header is checked against the file's length before anything is read or allocated by it: sizes that overflow, tensors
//! that overlap, leave holes, end beyond the file, or have another size than shape and type say. The rules are those of
//! the format's own reader, and a little stricter (a name must not stand twice). Cost: O(n log n) for n tensors; at most
//! [`LONGEST`] bytes are parsed.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use super::dtype::Dtype;

/// The longest header that is read, in bytes: the format's own limit.
pub const LONGEST: u64 = 100_000_000;

/// One tensor as the header tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name.
    pub name: String,
    /// The type of its entries.
    pub dtype: Dtype,
    /// Its shape; empty for a single number.
    pub shape: Vec<u64>,
    /// Where it begins, in bytes after the header.
    pub begin: u64,
    /// Where it ends, in bytes after the header.
    pub end: u64,
}

impl TensorInfo {
    /// How many entries it has.
    pub fn entries(&self) -> u64 {
        self.shape.iter().product()
    }
}

/// A header that fits its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The tensors in file order.
    pub tensors: Vec<TensorInfo>,
    /// What the file says about itself.
    pub metadata: BTreeMap<String, String>,
    /// Where the tensors' bytes begin in the file.
    pub data_begin: u64,
}

/// Why a header is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    /// The file is too short to hold a header.
    #[error("it has {0} bytes, too few for a header; the download or copy was probably cut short")]
    TooShort(u64),
    /// The header is said to be longer than the file.
    #[error(
        "it says that its header has {declared} bytes, and only {left} follow; it was cut short or is of another format"
    )]
    BeyondFile {
        /// Said length.
        declared: u64,
        /// Bytes after the length.
        left: u64,
    },
    /// The header is said to be longer than any header may be.
    #[error("it says that its header has {0} bytes; at most 100,000,000 are allowed")]
    TooLong(u64),
    /// The header is not the JSON that it should be.
    #[error("its header cannot be read: {0}")]
    NotJson(String),
    /// An element type that the format does not have.
    #[error("tensor `{name}` is of the unknown type {dtype:?}")]
    Dtype {
        /// The tensor.
        name: String,
        /// Its type.
        dtype: String,
    },
    /// A shape whose size is no number of bytes.
    #[error("tensor `{name}` of shape {shape:?} cannot be: its size in bytes is not a whole number below 2^64")]
    Shape {
        /// The tensor.
        name: String,
        /// Its shape.
        shape: Vec<u64>,
    },
    /// A place that does not fit type and shape.
    #[error("tensor `{name}` needs {needed} bytes by its type and shape, and its place is from {begin} to {end}")]
    Size {
        /// The tensor.
        name: String,
        /// Bytes by type and shape.
        needed: u64,
        /// Begin of its place.
        begin: u64,
        /// End of its place.
        end: u64,
    },
    /// A place beyond the end of the file.
    #[error("tensor `{name}` ends at byte {end} of the data, and there are {data}; the file was probably cut short")]
    Outside {
        /// The tensor.
        name: String,
        /// Its end.
        end: u64,
        /// Bytes of data in the file.
        data: u64,
    },
    /// Two tensors in one place.
    #[error(
        "tensors `{first}` and `{second}` lie in the same place; the format allows no tied tensors: save one of them \
         (safetensors.torch.save_model does)"
    )]
    Tied {
        /// One tensor.
        first: String,
        /// The other.
        second: String,
    },
    /// Two tensors that overlap.
    #[error("tensors `{first}` and `{second}` overlap")]
    Overlap {
        /// One tensor.
        first: String,
        /// The other.
        second: String,
    },
    /// Bytes of no tensor.
    #[error("bytes {begin} to {end} of the data belong to no tensor")]
    Hole {
        /// Begin of the hole.
        begin: u64,
        /// End of the hole.
        end: u64,
    },
}

impl Header {
    /// The length that the first eight bytes announce, if a file of `file_length` bytes can hold such a header.
    ///
    /// # Errors
    /// [`HeaderFault`] if it cannot.
    pub fn length(first_eight: [u8; 8], file_length: u64) -> Result<u64, HeaderFault> {
        let declared = u64::from_le_bytes(first_eight);
        let left = file_length.checked_sub(8).ok_or(HeaderFault::TooShort(file_length))?;
        if declared > left {
            return Err(HeaderFault::BeyondFile { declared, left });
        }
        if declared > LONGEST {
            return Err(HeaderFault::TooLong(declared));
        }
        Ok(declared)
    }

    /// Parses the JSON of a file of `file_length` bytes.
    ///
    /// # Errors
    /// [`HeaderFault`] names the first thing that cannot be.
    pub fn parse(json: &[u8], file_length: u64) -> Result<Self, HeaderFault> {
        let data_begin = 8 + json.len() as u64;
        let data = file_length.checked_sub(data_begin).ok_or(HeaderFault::TooShort(file_length))?;
        let written: Document = serde_json::from_slice(json).map_err(|why| HeaderFault::NotJson(why.to_string()))?;
        let mut tensors = written.tensors.into_iter().map(TensorInfo::try_from).collect::<Result<Vec<_>, _>>()?;
        tensors.sort_by_key(|tensor| (tensor.begin, tensor.end));
        let mut covered = 0;
        for (i, tensor) in tensors.iter().enumerate() {
            if tensor.end > data {
                return Err(HeaderFault::Outside { name: tensor.name.clone(), end: tensor.end, data });
            }
            if tensor.begin > covered {
                return Err(HeaderFault::Hole { begin: covered, end: tensor.begin });
            }
            if tensor.begin < covered {
                // Tensors without entries cover nothing, so the one before may not be the one in the way.
                let before = tensors[..i].iter().rev().find(|other| other.end > tensor.begin).unwrap_or(tensor);
                let (first, second) = (before.name.clone(), tensor.name.clone());
                let same = (before.begin, before.end) == (tensor.begin, tensor.end);
                return Err(if same {
                    HeaderFault::Tied { first, second }
                } else {
                    HeaderFault::Overlap { first, second }
                });
            }
            covered = tensor.end;
        }
        if covered < data {
            return Err(HeaderFault::Hole { begin: covered, end: data });
        }
        Ok(Self { tensors, metadata: written.metadata, data_begin })
    }
}

/// What the JSON says, unchecked but for names that stand twice.
struct Document {
    tensors: Vec<(String, Entry)>,
    metadata: BTreeMap<String, String>,
}

#[derive(serde::Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

impl TryFrom<(String, Entry)> for TensorInfo {
    type Error = HeaderFault;
    fn try_from((name, entry): (String, Entry)) -> Result<Self, HeaderFault> {
        let Entry { dtype, shape, data_offsets: (begin, end) } = entry;
        let Some(dtype) = Dtype::from_file(&dtype) else {
            return Err(HeaderFault::Dtype { name, dtype });
        };
        // A zero among the factors makes the product zero only if the others do not overflow first: such a shape is
        // refused, as by the format's own reader.
        let size = shape.iter().try_fold(1_u64, |n, &side| n.checked_mul(side)).and_then(|n| dtype.size(n));
        let Some(needed) = size else {
            return Err(HeaderFault::Shape { name, shape });
        };
        if end.checked_sub(begin) != Some(needed) {
            return Err(HeaderFault::Size { name, needed, begin, end });
        }
        Ok(Self { name, dtype, shape, begin, end })
    }
}

/// The header's only key that names no tensor.
const METADATA: &str = "__metadata__";

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Document;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
                let mut names = std::collections::HashSet::new();
                let mut document = Document { tensors: Vec::new(), metadata: BTreeMap::new() };
                while let Some(name) = map.next_key::<String>()? {
                    if !names.insert(name.clone()) {
                        return Err(serde::de::Error::custom(format!("the name {name:?} stands twice")));
                    }
                    if name == METADATA {
                        document.metadata = map.next_value::<Option<Distinct<String>>>()?.unwrap_or_default().0;
                    } else {
                        document.tensors.push((name, map.next_value()?));
                    }
                }
                Ok(document)
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

/// An object in which no name stands twice.
pub(super) struct Distinct<V>(pub BTreeMap<String, V>);

impl<V> Default for Distinct<V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Distinct<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for Reader<V> {
            type Value = Distinct<V>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Distinct<V>, A::Error> {
                let mut pairs = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, V>()? {
                    if pairs.contains_key(&name) {
                        return Err(serde::de::Error::custom(format!("the name {name:?} stands twice")));
                    }
                    pairs.insert(name, value);
                }
                Ok(Distinct(pairs))
            }
        }
        deserializer.deserialize_map(Reader(PhantomData))
    }
}
