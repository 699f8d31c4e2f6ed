//! Matrix products on slices.
#![allow(unsafe_code)]

use gemm::Parallelism;

use crate::op::real::Real;

/// A matrix in memory: `rows × columns`, by rows, or transposed without being moved.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a, R> {
    data: &'a [R],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a, R: Real> Matrix<'a, R> {
    /// `rows × columns` numbers, row after row.
    ///
    /// # Panics
    /// If there are fewer numbers: a defect of the caller.
    pub fn new(data: &'a [R], rows: usize, columns: usize) -> Self {
        assert!(data.len() >= rows * columns, "{rows} × {columns} matrix of {} numbers", data.len());
        Self { data, rows, columns, row_stride: columns, column_stride: 1 }
    }

    /// Rows that lie `stride` numbers apart.
    ///
    /// # Panics
    /// If there are too few numbers: a defect of the caller.
    pub fn strided(data: &'a [R], rows: usize, columns: usize, stride: usize) -> Self {
        let needed = if rows == 0 || columns == 0 { 0 } else { (rows - 1) * stride + columns };
        assert!(stride >= columns && data.len() >= needed, "{rows} × {columns} matrix of {} numbers", data.len());
        Self { data, rows, columns, row_stride: stride, column_stride: 1 }
    }

    /// `count` rows from `first` on.
    ///
    /// # Panics
    /// If there are fewer rows, or the matrix is transposed: a defect of the caller.
    #[must_use]
    pub fn rows(self, first: usize, count: usize) -> Self {
        assert!(
            first + count <= self.rows && self.column_stride == 1,
            "rows {first} to {} of {}",
            first + count,
            self.rows
        );
        // Of no rows there may be no place to begin at.
        let data = &self.data[(first * self.row_stride).min(self.data.len())..];
        Self { data, rows: count, ..self }
    }

    /// The transposed matrix.
    #[must_use]
    pub fn t(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// `a·b` by rows, in fresh memory; `threads`: may all cores help?
///
/// # Panics
/// If the sizes do not fit: a defect of the caller.
pub fn product<R: Real>(a: Matrix<'_, R>, b: Matrix<'_, R>, threads: bool) -> Vec<R> {
    let count = a.rows * b.columns;
    let mut out = Vec::with_capacity(count);
    // SAFETY: there is room for `a.rows` rows of `b.columns` numbers, all of which are written and none read.
    unsafe {
        write(out.as_mut_ptr(), b.columns, a, b, R::one(), R::zero(), threads);
        out.set_len(count);
    }
    out
}

/// `out = keep·out + scale·a·b`, `out` by rows with rows `stride` apart; `threads`: may all cores help?
///
/// # Panics
/// If the sizes do not fit: a defect of the caller.
pub fn multiply<R: Real>(
    out: &mut [R],
    stride: usize,
    a: Matrix<'_, R>,
    b: Matrix<'_, R>,
    scale: R,
    keep: R,
    threads: bool,
) {
    let (m, n) = (a.rows, b.columns);
    let needed = if m == 0 || n == 0 { 0 } else { (m - 1) * stride + n };
    assert!(stride >= n && out.len() >= needed, "the product does not fit its place");
    // SAFETY: the length was just checked, and a mutable slice overlaps no shared one.
    unsafe { write(out.as_mut_ptr(), stride, a, b, scale, keep, threads) };
}

/// # Safety
/// From `out` on there is room for rows `stride` apart that nobody else sees; they hold numbers unless `keep` is 0.
unsafe fn write<R: Real>(
    out: *mut R,
    stride: usize,
    a: Matrix<'_, R>,
    b: Matrix<'_, R>,
    scale: R,
    keep: R,
    threads: bool,
) {
    let (m, k, n) = (a.rows, a.columns, b.columns);
    assert_eq!(k, b.rows, "inner sizes of a product");
    if m == 0 || n == 0 {
        return;
    }
    let parallel = if threads && m * n * k > 64 * 64 * 64 { Parallelism::Rayon(0) } else { Parallelism::None };
    // SAFETY: `Matrix` holds at least (rows - 1)·stride + columns numbers (checked at its making; transposing swaps
    // both); `out` is the caller's.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out,
            1,
            stride as isize,
            keep != R::zero(),
            a.data.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            keep,
            scale,
            false,
            false,
            false,
            parallel,
        );
    }
}
