//! Tables of trials for other libraries, through Arrow's C data interface: they read the very memory that lies here.
//!
//! Specification: Apache Arrow, "The Arrow C data interface", "The Arrow C stream interface", "The Arrow PyCapsule
//! interface".
//!
//! # Invariants of the unsafe code
//! - Every pointer in a structure that is handed out points into the [`Holder`] in its `private_data`, which owns the
//!   arrays of pointers, the children and a share of the table, and is dropped by `release` alone.
//! - Vectors in a holder and in a table are not changed after pointers into them were taken.
//! - `release` is null in a structure that was released or moved away; nothing is done with such a one.
#![allow(unsafe_code)]

use std::ffi::{CString, c_char, c_int, c_void};
use std::ptr::{null, null_mut};
use std::sync::Arc;

use kilter_study::{Cells, Column};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

/// Columns of one length, encoded as Arrow wants them.
#[pyclass(frozen, module = "kilter._kilter")]
pub struct Table(Arc<Encoded>);

struct Encoded {
    rows: usize,
    columns: Vec<Series>,
}

struct Series {
    name: CString,
    cells: Cells,
    /// Arrow's word for the kind.
    format: &'static std::ffi::CStr,
    nulls: usize,
    /// One bit per row: is there a value?
    validity: Vec<u8>,
    data: Data,
}

enum Data {
    Bits(Vec<u8>),
    Ints(Vec<i64>),
    Floats(Vec<f64>),
    Texts { offsets: Vec<i64>, bytes: Vec<u8> },
}

fn bits(rows: usize, is_set: impl Fn(usize) -> bool) -> Vec<u8> {
    let mut bits = vec![0_u8; rows.div_ceil(8)];
    for row in (0..rows).filter(|&row| is_set(row)) {
        bits[row / 8] |= 1 << (row % 8);
    }
    bits
}

impl Series {
    fn new(column: Column) -> Self {
        fn presence<T>(cells: &[Option<T>]) -> (usize, Vec<u8>) {
            let missing = cells.iter().filter(|cell| cell.is_none()).count();
            (missing, bits(cells.len(), |row| cells[row].is_some()))
        }
        let ((nulls, validity), data, format) = match &column.cells {
            Cells::Bool(cells) => {
                let data = Data::Bits(bits(cells.len(), |row| cells[row] == Some(true)));
                (presence(cells), data, c"b")
            }
            Cells::Int(cells) => {
                (presence(cells), Data::Ints(cells.iter().map(|cell| cell.unwrap_or(0)).collect()), c"l")
            }
            Cells::Float(cells) => {
                (presence(cells), Data::Floats(cells.iter().map(|cell| cell.unwrap_or(0.0)).collect()), c"g")
            }
            Cells::Text(cells) => {
                let (mut offsets, mut bytes) = (vec![0], Vec::new());
                for cell in cells {
                    bytes.extend_from_slice(cell.as_deref().unwrap_or("").as_bytes());
                    offsets.push(bytes.len() as i64);
                }
                (presence(cells), Data::Texts { offsets, bytes }, c"U")
            }
        };
        // A name cannot hold a zero byte, but a tag's may.
        let name = CString::new(column.name.replace('\0', "")).unwrap_or_default();
        Self { name, cells: column.cells, format, nulls, validity, data }
    }

    /// Validity first, then the values. Without missing values there is no validity.
    fn buffers(&self) -> Vec<*const c_void> {
        let mut buffers = vec![if self.nulls == 0 { null() } else { self.validity.as_ptr().cast() }];
        match &self.data {
            Data::Bits(bits) => buffers.push(bits.as_ptr().cast()),
            Data::Ints(ints) => buffers.push(ints.as_ptr().cast()),
            Data::Floats(floats) => buffers.push(floats.as_ptr().cast()),
            Data::Texts { offsets, bytes } => {
                buffers.extend([offsets.as_ptr().cast::<c_void>(), bytes.as_ptr().cast()]);
            }
        }
        buffers
    }
}

impl Table {
    pub fn new(rows: usize, columns: Vec<Column>) -> Self {
        Self(Arc::new(Encoded { rows, columns: columns.into_iter().map(Series::new).collect() }))
    }
}

#[pymethods]
impl Table {
    /// The table as a stream of one batch. A wish for another schema is not heard: nobody has to hear it.
    #[pyo3(signature = (requested_schema = None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let _ = requested_schema;
        PyCapsule::new_with_value(py, Stream::of(self.0.clone()), c"arrow_array_stream")
    }

    /// Its schema.
    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        PyCapsule::new_with_value(py, Schema::of_table(&self.0), c"arrow_schema")
    }

    /// How many rows there are.
    fn rows(&self) -> usize {
        self.0.rows
    }

    /// The names of its columns.
    fn names(&self) -> Vec<String> {
        self.0.columns.iter().map(|series| series.name.to_string_lossy().into_owned()).collect()
    }

    /// A column as a list.
    fn column<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(series) = self.0.columns.iter().find(|series| series.name.to_bytes() == name.as_bytes()) else {
            return Ok(None);
        };
        Ok(Some(match &series.cells {
            Cells::Bool(cells) => cells.into_pyobject(py)?,
            Cells::Int(cells) => cells.into_pyobject(py)?,
            Cells::Float(cells) => cells.into_pyobject(py)?,
            Cells::Text(cells) => cells.into_pyobject(py)?,
        }))
    }

    /// Where the values of a column lie, for whoever doubts that they are not copied.
    fn address(&self, name: &str) -> Option<usize> {
        let series = self.0.columns.iter().find(|series| series.name.to_bytes() == name.as_bytes())?;
        series.buffers().get(1).map(|pointer| *pointer as usize)
    }
}

// ----- the structures of the specification

#[repr(C)]
struct Schema {
    format: *const c_char,
    name: *const c_char,
    metadata: *const c_char,
    flags: i64,
    n_children: i64,
    children: *mut *mut Self,
    dictionary: *mut Self,
    release: Option<unsafe extern "C" fn(*mut Self)>,
    private_data: *mut c_void,
}

#[repr(C)]
struct Array {
    length: i64,
    null_count: i64,
    offset: i64,
    n_buffers: i64,
    n_children: i64,
    buffers: *mut *const c_void,
    children: *mut *mut Self,
    dictionary: *mut Self,
    release: Option<unsafe extern "C" fn(*mut Self)>,
    private_data: *mut c_void,
}

#[repr(C)]
struct Stream {
    get_schema: Option<unsafe extern "C" fn(*mut Self, *mut Schema) -> c_int>,
    get_next: Option<unsafe extern "C" fn(*mut Self, *mut Array) -> c_int>,
    get_last_error: Option<unsafe extern "C" fn(*mut Self) -> *const c_char>,
    release: Option<unsafe extern "C" fn(*mut Self)>,
    private_data: *mut c_void,
}

/// May be missing.
const NULLABLE: i64 = 2;

/// What a structure's pointers point into.
struct Holder<T> {
    _table: Arc<Encoded>,
    buffers: Vec<*const c_void>,
    /// Made by `Box::into_raw`; freed with the holder.
    children: Vec<*mut T>,
}

impl<T> Drop for Holder<T> {
    fn drop(&mut self) {
        for child in self.children.drain(..) {
            // SAFETY: made by `Box::into_raw` and freed here alone; its own `Drop` releases it, unless it was moved away.
            drop(unsafe { Box::from_raw(child) });
        }
    }
}

/// Implements the ownership that all three structures have: dropping one releases it.
macro_rules! released {
    ($structure:ty) => {
        impl Drop for $structure {
            fn drop(&mut self) {
                if let Some(release) = self.release {
                    // SAFETY: `release` is not null, so the structure is whole and ours.
                    unsafe { release(self) };
                }
            }
        }

        // SAFETY: what its pointers reach is owned by its holder and is not changed by anybody.
        unsafe impl Send for $structure {}
    };
}
released!(Schema);
released!(Array);
released!(Stream);

/// Drops the holder of a structure.
///
/// # Safety
/// `private_data` was made by `Box::into_raw` of a `Holder<T>` and was not released yet.
unsafe fn drop_holder<T>(private_data: *mut c_void) {
    // SAFETY: the caller's promise.
    drop(unsafe { Box::from_raw(private_data.cast::<Holder<T>>()) });
}

impl Schema {
    fn of_table(table: &Arc<Encoded>) -> Self {
        let children = table.columns.iter().map(|series| {
            let holder = Holder { _table: table.clone(), buffers: Vec::new(), children: Vec::new() };
            Box::into_raw(Box::new(Self::new(series.format.as_ptr(), series.name.as_ptr(), NULLABLE, holder)))
        });
        let holder = Holder { _table: table.clone(), buffers: Vec::new(), children: children.collect() };
        Self::new(c"+s".as_ptr(), c"".as_ptr(), 0, holder)
    }

    fn new(format: *const c_char, name: *const c_char, flags: i64, mut holder: Holder<Self>) -> Self {
        let (n_children, children) = (holder.children.len() as i64, holder.children.as_mut_ptr());
        Self {
            format,
            name,
            metadata: null(),
            flags,
            n_children,
            children,
            dictionary: null_mut(),
            release: Some(Self::release),
            private_data: Box::into_raw(Box::new(holder)).cast(),
        }
    }

    unsafe extern "C" fn release(schema: *mut Self) {
        // SAFETY: a consumer calls this once, with a structure that was made by `new`.
        unsafe {
            (*schema).release = None;
            drop_holder::<Self>((*schema).private_data);
        }
    }
}

impl Array {
    fn of_table(table: &Arc<Encoded>) -> Self {
        let children = table.columns.iter().map(|series| {
            let holder = Holder { _table: table.clone(), buffers: series.buffers(), children: Vec::new() };
            Box::into_raw(Box::new(Self::new(table.rows, series.nulls, holder)))
        });
        let holder = Holder { _table: table.clone(), buffers: vec![null()], children: children.collect() };
        Self::new(table.rows, 0, holder)
    }

    fn new(length: usize, nulls: usize, mut holder: Holder<Self>) -> Self {
        Self {
            length: length as i64,
            null_count: nulls as i64,
            offset: 0,
            n_buffers: holder.buffers.len() as i64,
            n_children: holder.children.len() as i64,
            buffers: holder.buffers.as_mut_ptr(),
            children: holder.children.as_mut_ptr(),
            dictionary: null_mut(),
            release: Some(Self::release),
            private_data: Box::into_raw(Box::new(holder)).cast(),
        }
    }

    /// What says that there is no more: a structure that is released already.
    fn none() -> Self {
        Self {
            length: 0,
            null_count: 0,
            offset: 0,
            n_buffers: 0,
            n_children: 0,
            buffers: null_mut(),
            children: null_mut(),
            dictionary: null_mut(),
            release: None,
            private_data: null_mut(),
        }
    }

    unsafe extern "C" fn release(array: *mut Self) {
        // SAFETY: a consumer calls this once, with a structure that was made by `new`.
        unsafe {
            (*array).release = None;
            drop_holder::<Self>((*array).private_data);
        }
    }
}

/// What a stream still has to give.
struct Batches {
    table: Arc<Encoded>,
    given: bool,
}

impl Stream {
    fn of(table: Arc<Encoded>) -> Self {
        Self {
            get_schema: Some(Self::get_schema),
            get_next: Some(Self::get_next),
            get_last_error: Some(Self::get_last_error),
            release: Some(Self::release),
            private_data: Box::into_raw(Box::new(Batches { table, given: false })).cast(),
        }
    }

    unsafe extern "C" fn get_schema(stream: *mut Self, schema: *mut Schema) -> c_int {
        // SAFETY: `stream` was made by `of` and not released; `schema` is the caller's to be written, and holds nothing.
        unsafe {
            let batches = &*(*stream).private_data.cast::<Batches>();
            schema.write(Schema::of_table(&batches.table));
        }
        0
    }

    unsafe extern "C" fn get_next(stream: *mut Self, array: *mut Array) -> c_int {
        // SAFETY: as in `get_schema`; a stream is used by one thread at a time.
        unsafe {
            let batches = &mut *(*stream).private_data.cast::<Batches>();
            let next = if batches.given { Array::none() } else { Array::of_table(&batches.table) };
            batches.given = true;
            array.write(next);
        }
        0
    }

    unsafe extern "C" fn get_last_error(_: *mut Self) -> *const c_char {
        null()
    }

    unsafe extern "C" fn release(stream: *mut Self) {
        // SAFETY: called once, with a stream that was made by `of`.
        unsafe {
            (*stream).release = None;
            drop(Box::from_raw((*stream).private_data.cast::<Batches>()));
        }
    }
}
