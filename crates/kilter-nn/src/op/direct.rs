//! Convolution with stride 1 without patches: a few vectors of neighbouring pixels stay in registers for a few output
//! channels at a time, while all inputs that they depend on pass by once. The same loop serves the gradient of the image
//! (with kernels flipped and channels exchanged); that of the kernels keeps a few of their numbers in registers instead.
//!
//! Cost: the multiplications of the convolution and a padded copy of the images; rows are filled up to whole vectors, so
//! narrow images waste some of it.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64;
use std::array::from_fn;

use rayon::prelude::*;

use crate::op::fresh::{filled, in_pieces};
use crate::op::real::Real;

/// Numbers of a vector, and how many output channels are in registers at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    lanes: usize,
    /// Of the convolution itself.
    channels: usize,
    /// Of the kernels' gradient.
    slopes: usize,
    with: Instructions,
}

/// What the machine computes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Instructions {
    Plain,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// Numbers of a kernel whose gradients are in registers at a time: beside those of other channels, so that the numbers which
/// they are made from have room there, too; and where there is but one channel.
const TAPS: usize = 2;
const TAPS_ALONE: usize = 9;

/// Bytes that surely stay in the nearest cache.
const NEAREST: usize = 32_768;

/// Bytes that are read at once.
const CACHE_LINE: usize = 64;

impl Tile {
    /// For this machine and precision.
    pub fn here<R: Real>() -> Self {
        #[cfg(target_arch = "x86_64")]
        if size_of::<R>() == 4 {
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("fma") {
                return Self { lanes: 16, channels: 8, slopes: 8, with: Instructions::Avx512 };
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return Self { lanes: 8, channels: 6, slopes: 4, with: Instructions::Avx2 };
            }
        }
        Self { lanes: 4, channels: 4, slopes: 4, with: Instructions::Plain }
    }
}

/// The sizes of one convolution. An image in groups is as many images, each with kernels of its own.
#[derive(Clone, Debug)]
pub struct Direct {
    tile: Tile,
    groups: usize,
    /// Channels of a group.
    inputs: usize,
    /// Channels that a group gives.
    outputs: usize,
    kernel: [usize; 2],
    padding: [usize; 2],
    image: [usize; 2],
    out: [usize; 2],
    /// Rows of a padded channel, and numbers of a padded row.
    padded: [usize; 2],
    /// Where each number of a patch lies, from where the patch begins in the padded image.
    taps: Vec<usize>,
}

impl Direct {
    /// Convolution of images in so many groups, each of `inputs` channels and sides `image`, with `outputs` kernels each.
    pub fn new(
        tile: Tile,
        groups: usize,
        [inputs, outputs]: [usize; 2],
        image: [usize; 2],
        kernel: [usize; 2],
        padding: [usize; 2],
    ) -> Self {
        let out = [0, 1].map(|axis| image[axis] + 2 * padding[axis] + 1 - kernel[axis]);
        let whole = out[1].next_multiple_of(tile.lanes);
        let padded = [image[0] + 2 * padding[0], (image[1] + 2 * padding[1]).max(whole + kernel[1] - 1)];
        let taps = (0..inputs * kernel[0] * kernel[1])
            .map(|at| {
                let (channel, y, x) = (at / (kernel[0] * kernel[1]), at / kernel[1] % kernel[0], at % kernel[1]);
                (channel * padded[0] + y) * padded[1] + x
            })
            .collect();
        Self { tile, groups, inputs, outputs, kernel, padding, image, out, padded, taps }
    }

    /// The convolution whose result is the gradient of this one's images; none where padding is wider than the kernel.
    pub fn back(&self) -> Option<Self> {
        let [y, x] = [0, 1].map(|axis| (self.kernel[axis] - 1).checked_sub(self.padding[axis]));
        Some(Self::new(self.tile, self.groups, [self.outputs, self.inputs], self.out, self.kernel, [y?, x?]))
    }

    /// Is more computed than thrown away?
    pub fn pays(&self) -> bool {
        2 * self.out[1] > self.tile.lanes
    }

    fn pixels(&self) -> usize {
        self.out[0] * self.out[1]
    }

    /// Numbers of a padded image.
    fn padded_image(&self) -> usize {
        self.inputs * self.padded[0] * self.padded[1]
    }

    fn vectors_per_row(&self) -> usize {
        self.out[1].div_ceil(self.tile.lanes)
    }

    /// Copies an image between zeros. What lies between stays as it was: zeros.
    fn pad<R: Real>(&self, image: &[R], to: &mut [R]) {
        let ([height, width], [rows, stride]) = (self.image, self.padded);
        let channels = to.chunks_mut(rows * stride).zip(image.chunks(height * width));
        for (to, from) in channels {
            let lines = to.chunks_mut(stride).skip(self.padding[0]).zip(from.chunks(width));
            for (to, from) in lines {
                to[self.padding[1]..][..width].copy_from_slice(from);
            }
        }
    }

    /// Blocks of output channels: where each begins, and how many it computes, one or an even number.
    fn blocks(&self) -> impl Iterator<Item = (usize, usize)> {
        let most = self.tile.channels;
        let firsts = (0..self.outputs).step_by(most);
        firsts.map(move |first| match self.outputs - first {
            1 => (first, 1),
            left => (first, left.next_multiple_of(2).min(most)),
        })
    }

    /// Numbers of a group's packed kernels.
    fn packed(&self) -> usize {
        self.blocks().map(|(_, size)| size).sum::<usize>() * self.taps.len()
    }

    /// Kernels `[groups · outputs, inputs, height, width]`, group after group, by blocks of output channels, the numbers of
    /// a block's channels side by side.
    pub fn pack<R: Real>(&self, weight: &[R]) -> Vec<R> {
        let patch = self.taps.len();
        let mut packed = Vec::with_capacity(self.groups * self.packed());
        for kernels in weight.chunks(self.outputs * patch) {
            for (first, size) in self.blocks() {
                for tap in 0..patch {
                    let number = |channel: usize| kernels.get(channel * patch + tap).copied().unwrap_or(R::zero());
                    packed.extend((first..first + size).map(number));
                }
            }
        }
        packed
    }

    /// The same for [`Direct::back`], from the kernels of the convolution forward: flipped, channels exchanged.
    pub fn pack_back<R: Real>(&self, weight: &[R]) -> Vec<R> {
        let area = self.kernel[0] * self.kernel[1];
        let mut flipped = vec![R::zero(); weight.len()];
        let group = self.inputs * self.outputs * area;
        for (flipped, weight) in flipped.chunks_mut(group).zip(weight.chunks(group)) {
            // Here inputs are what was put out.
            for (out, kernels) in weight.chunks(self.outputs * area).enumerate() {
                for (input, kernel) in kernels.chunks(area).enumerate() {
                    let to = &mut flipped[(input * self.inputs + out) * area..][..area];
                    to.iter_mut().zip(kernel.iter().rev()).for_each(|(to, &w)| *to = w);
                }
            }
        }
        self.pack(&flipped)
    }

    /// Convolves images, shared out among threads; `packed`: the kernels; to each output channel its bias.
    pub fn run<R: Real>(&self, images: &[R], packed: &[R], bias: Option<&[R]>) -> Vec<R> {
        let (image, result) = (self.inputs * self.image[0] * self.image[1], self.outputs * self.pixels());
        let padded = || vec![R::zero(); self.padded_image()];
        let convolve = |padded: &mut Vec<R>, at: usize, out: &mut [R]| {
            let group = at % self.groups;
            self.pad(&images[at * image..][..image], padded);
            let bias = bias.map(|bias| &bias[group * self.outputs..]);
            self.convolve(padded, &packed[group * self.packed()..], bias, out);
        };
        in_pieces(images.len() / image * result, result, padded, convolve).0
    }

    /// One padded image.
    fn convolve<R: Real>(&self, x: &[R], packed: &[R], bias: Option<&[R]>, out: &mut [R]) {
        assert!(x.len() >= self.padded_image() && packed.len() >= self.packed());
        match self.tile.with {
            // SAFETY: the lengths were just checked.
            Instructions::Plain => unsafe { convolve::<R, [R; 4], 2>(self, x, packed, bias, out) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above; `Tile::here` found that the machine has these instructions.
            Instructions::Avx2 => unsafe { convolve_avx2(self, x, packed, bias, out) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Instructions::Avx512 => unsafe { convolve_avx512(self, x, packed, bias, out) },
        }
    }

    /// Puts the numbers of one channel where they belong, from a vector on; a channel beyond the last is passed over.
    ///
    /// # Safety
    /// The machine has these vectors.
    #[inline(always)]
    unsafe fn write<R: Real, V: Vector<R>>(
        &self,
        out: &mut [R],
        bias: Option<&[R]>,
        channel: usize,
        vector: usize,
        sums: &[V],
    ) {
        if channel >= self.outputs {
            return;
        }
        let (per_row, width) = (self.vectors_per_row(), self.out[1]);
        let shift = bias.map_or(R::zero(), |bias| bias[channel]);
        for (vector, sum) in (vector..).zip(sums) {
            let (row, column) = (vector / per_row, vector % per_row * V::LANES);
            let count = V::LANES.min(width - column);
            let to = &mut out[channel * self.pixels() + row * width + column..][..count];
            // SAFETY: there is room for a vector, in the output or beside it.
            unsafe {
                let sum = sum.plus(V::splat(&raw const shift));
                if count == V::LANES {
                    sum.store(to.as_mut_ptr());
                } else {
                    let mut whole = [R::zero(); MOST_LANES];
                    sum.store(whole.as_mut_ptr());
                    to.copy_from_slice(&whole[..count]);
                }
            }
        }
    }

    /// The gradient of the kernels, from the images and the gradients of the outputs; blocks of output channels are shared
    /// out among threads, each takes the images in order.
    pub fn kernels<R: Real>(&self, images: &[R], dy: &[R], weight: &mut [R]) {
        let image = self.inputs * self.image[0] * self.image[1];
        let pad = |at: usize, to: &mut [R]| self.pad(&images[at * image..][..image], to);
        let padded = filled(images.len() / image * self.padded_image(), self.padded_image(), pad);
        // Rows of whole vectors, filled up with zeros, from the beginning of a cache line on: what lies across two of them is
        // read twice.
        let (width, whole) = (self.out[1], self.vectors_per_row() * self.tile.lanes);
        let mut rows = Vec::<R>::with_capacity(dy.len() / width * whole + MOST_LANES);
        let edge = rows.as_ptr().align_offset(CACHE_LINE).min(MOST_LANES);
        rows.resize(edge, R::zero());
        if whole == width {
            rows.extend_from_slice(dy);
        } else {
            for row in dy.chunks(width) {
                rows.extend_from_slice(row);
                rows.resize(rows.len() + whole - width, R::zero());
            }
        }
        let dy = &rows[edge..];
        let (block, patch) = (self.tile.slopes, self.taps.len());
        weight.par_chunks_mut(self.outputs * patch).enumerate().for_each(|(group, weight)| {
            weight.par_chunks_mut(block * patch).enumerate().for_each(|(at, weight)| {
                self.correlate(&padded, dy, (group, at * block), weight);
            });
        });
    }

    /// The gradient of the kernels of a block of channels, from one of a group.
    fn correlate<R: Real>(&self, x: &[R], dy: &[R], first: (usize, usize), weight: &mut [R]) {
        let images = x.len() / self.padded_image();
        let rows = self.out[0] * self.vectors_per_row() * self.tile.lanes;
        assert!(dy.len() >= images * self.outputs * rows);
        match self.tile.with {
            // SAFETY: the lengths were just checked.
            Instructions::Plain => unsafe { correlate::<R, [R; 4], 4, TAPS>(self, x, dy, first, weight) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above; `Tile::here` found that the machine has these instructions.
            Instructions::Avx2 => unsafe { correlate_avx2(self, x, dy, first, weight) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Instructions::Avx512 => unsafe { correlate_avx512(self, x, dy, first, weight) },
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn convolve_avx2<R: Real>(plan: &Direct, x: &[R], packed: &[R], bias: Option<&[R]>, out: &mut [R]) {
    // SAFETY: the caller keeps `convolve`'s.
    unsafe { convolve::<R, x86_64::__m256, 2>(plan, x, packed, bias, out) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,fma")]
unsafe fn convolve_avx512<R: Real>(plan: &Direct, x: &[R], packed: &[R], bias: Option<&[R]>, out: &mut [R]) {
    // SAFETY: the caller keeps `convolve`'s.
    unsafe { convolve::<R, x86_64::__m512, 3>(plan, x, packed, bias, out) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn correlate_avx2<R: Real>(plan: &Direct, x: &[R], dy: &[R], first: (usize, usize), weight: &mut [R]) {
    // SAFETY: the caller keeps `correlate`'s.
    unsafe {
        match weight.len() == plan.taps.len() {
            true => correlate::<R, x86_64::__m256, 1, TAPS_ALONE>(plan, x, dy, first, weight),
            false => correlate::<R, x86_64::__m256, 4, TAPS>(plan, x, dy, first, weight),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,fma")]
unsafe fn correlate_avx512<R: Real>(plan: &Direct, x: &[R], dy: &[R], first: (usize, usize), weight: &mut [R]) {
    // SAFETY: the caller keeps `correlate`'s.
    unsafe {
        match weight.len() == plan.taps.len() {
            true => correlate::<R, x86_64::__m512, 1, TAPS_ALONE>(plan, x, dy, first, weight),
            false => correlate::<R, x86_64::__m512, 8, TAPS>(plan, x, dy, first, weight),
        }
    }
}

/// Numbers side by side. The machine's own are named, since compilers do not find the longer ones in loops over as many sums
/// as are in registers here.
///
/// # Safety
/// Every method wants a machine that has these vectors, and room for one where it reads or writes; the numbers of the
/// machine's vectors are f32.
trait Vector<R>: Copy {
    const LANES: usize;

    unsafe fn load(from: *const R) -> Self;

    /// One number in every place.
    unsafe fn splat(from: *const R) -> Self;

    unsafe fn store(self, to: *mut R);

    unsafe fn plus(self, other: Self) -> Self;

    /// `self·b + c`, in one rounding where the machine does that in one instruction.
    unsafe fn times_plus(self, b: Self, c: Self) -> Self;
}

/// The numbers of the longest vector.
const MOST_LANES: usize = 16;

impl<R: Real, const L: usize> Vector<R> for [R; L] {
    const LANES: usize = L;

    #[inline(always)]
    unsafe fn load(from: *const R) -> Self {
        // SAFETY: the caller's.
        unsafe { from.cast::<Self>().read() }
    }

    #[inline(always)]
    unsafe fn splat(from: *const R) -> Self {
        // SAFETY: the caller's.
        [unsafe { *from }; L]
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut R) {
        // SAFETY: the caller's.
        unsafe { to.cast::<Self>().write(self) }
    }

    #[inline(always)]
    unsafe fn plus(self, other: Self) -> Self {
        from_fn(|l| self[l] + other[l])
    }

    #[inline(always)]
    unsafe fn times_plus(self, b: Self, c: Self) -> Self {
        from_fn(|l| self[l] * b[l] + c[l])
    }
}

/// The machine's vectors by its own operations.
#[cfg(target_arch = "x86_64")]
macro_rules! vector {
    ($vector:ident, $lanes:literal, $load:ident, $splat:ident, $store:ident, $plus:ident, $times_plus:ident) => {
        impl<R: Real> Vector<R> for x86_64::$vector {
            const LANES: usize = $lanes;

            #[inline(always)]
            unsafe fn load(from: *const R) -> Self {
                // SAFETY: the caller's.
                unsafe { x86_64::$load(from.cast()) }
            }

            #[inline(always)]
            unsafe fn splat(from: *const R) -> Self {
                // SAFETY: the caller's.
                unsafe { x86_64::$splat(from.cast::<f32>().read()) }
            }

            #[inline(always)]
            unsafe fn store(self, to: *mut R) {
                // SAFETY: the caller's.
                unsafe { x86_64::$store(to.cast(), self) }
            }

            #[inline(always)]
            unsafe fn plus(self, other: Self) -> Self {
                // SAFETY: the caller's.
                unsafe { x86_64::$plus(self, other) }
            }

            #[inline(always)]
            unsafe fn times_plus(self, b: Self, c: Self) -> Self {
                // SAFETY: the caller's.
                unsafe { x86_64::$times_plus(self, b, c) }
            }
        }
    };
}
#[cfg(target_arch = "x86_64")]
vector!(__m256, 8, _mm256_loadu_ps, _mm256_set1_ps, _mm256_storeu_ps, _mm256_add_ps, _mm256_fmadd_ps);
#[cfg(target_arch = "x86_64")]
vector!(__m512, 16, _mm512_loadu_ps, _mm512_set1_ps, _mm512_storeu_ps, _mm512_add_ps, _mm512_fmadd_ps);

/// # Safety
/// `x` holds a padded image, `packed` all kernels; the machine has these vectors.
#[inline(always)]
unsafe fn convolve<R: Real, V: Vector<R>, const X: usize>(
    plan: &Direct,
    x: &[R],
    packed: &[R],
    bias: Option<&[R]>,
    out: &mut [R],
) {
    let vectors = plan.out[0] * plan.vectors_per_row();
    for vector in (0..vectors).step_by(X) {
        for (first, size) in plan.blocks() {
            let kernels = &packed[first * plan.taps.len()..];
            // SAFETY: the caller's; a block's kernels begin where those before it end.
            unsafe {
                match size {
                    8 => block::<R, V, 8, X>(plan, x, kernels, vector, (bias, first), out),
                    6 => block::<R, V, 6, X>(plan, x, kernels, vector, (bias, first), out),
                    4 => block::<R, V, 4, X>(plan, x, kernels, vector, (bias, first), out),
                    1 => block::<R, V, 1, X>(plan, x, kernels, vector, (bias, first), out),
                    _ => block::<R, V, 2, X>(plan, x, kernels, vector, (bias, first), out),
                }
            }
        }
    }
}

/// `C` channels from `first` of `X` vectors of pixels from `vector`, or of as many as are left.
///
/// # Safety
/// `x` holds a padded image; the machine has these vectors.
#[inline(always)]
unsafe fn block<R: Real, V: Vector<R>, const C: usize, const X: usize>(
    plan: &Direct,
    x: &[R],
    kernels: &[R],
    vector: usize,
    (bias, first): (Option<&[R]>, usize),
    out: &mut [R],
) {
    let per_row = plan.vectors_per_row();
    let base = |vector: usize| vector / per_row * plan.padded[1] + vector % per_row * V::LANES;
    let left = plan.out[0] * per_row - vector;
    // SAFETY: a vector begins in a row of the output, and a tap reaches at most one kernel further; padded rows are as long
    // as a row's vectors and a kernel.
    unsafe {
        if left >= X {
            let sums = sums::<R, V, C, X>(x, from_fn(|j| base(vector + j)), &plan.taps, kernels);
            for (c, sums) in sums.iter().enumerate() {
                plan.write(out, bias, first + c, vector, sums);
            }
        } else {
            for vector in vector..vector + left {
                let sums = sums::<R, V, C, 1>(x, [base(vector)], &plan.taps, kernels);
                for (c, sums) in sums.iter().enumerate() {
                    plan.write(out, bias, first + c, vector, sums);
                }
            }
        }
    }
}

/// What `C` channels have in `X` vectors of pixels.
///
/// # Safety
/// A vector from every base and tap lies in `x`, `C` kernels in `kernels`; the machine has these vectors.
#[inline(always)]
unsafe fn sums<R: Real, V: Vector<R>, const C: usize, const X: usize>(
    x: &[R],
    bases: [usize; X],
    taps: &[usize],
    kernels: &[R],
) -> [[V; X]; C] {
    let zero = R::zero();
    // SAFETY: the caller's.
    let mut sums = [[unsafe { V::splat(&raw const zero) }; X]; C];
    let starts: [*const R; X] = bases.map(|base| x[base..].as_ptr());
    for (tap, weights) in taps.iter().zip(kernels.chunks_exact(C)) {
        // SAFETY: the caller's.
        unsafe {
            let pixels: [V; X] = from_fn(|j| V::load(starts[j].add(*tap)));
            for c in 0..C {
                let weight = V::splat(&raw const weights[c]);
                for j in 0..X {
                    sums[c][j] = pixels[j].times_plus(weight, sums[c][j]);
                }
            }
        }
    }
    sums
}

/// # Safety
/// `x` holds whole padded images, `dy` as many gradients with rows of whole vectors; the machine has these vectors.
#[inline(always)]
unsafe fn correlate<R: Real, V: Vector<R>, const C: usize, const T: usize>(
    plan: &Direct,
    x: &[R],
    dy: &[R],
    (group, first): (usize, usize),
    weight: &mut [R],
) {
    let patch = plan.taps.len();
    let channels = weight.len() / patch;
    let rows = plan.out[0] * plan.vectors_per_row() * V::LANES;
    let zero = R::zero();
    // SAFETY: the caller's.
    let zeros = [[unsafe { V::splat(&raw const zero) }; T]; C];
    // A few of the kernels' numbers at a time, each a vector until the end.
    let mut all = vec![zeros; patch.div_ceil(T)];
    let count = x.len() / plan.padded_image();
    let images: Vec<usize> = (group..count).step_by(plan.groups).collect();
    // As many images at a time as leave their gradients in the nearest cache, since all of a kernel's numbers pass by them.
    for images in images.chunks((NEAREST / (C * rows * size_of::<R>())).max(1)) {
        for (taps, sums) in plan.taps.chunks(T).zip(&mut all) {
            // A group that is not full computes its last number several times.
            let taps: [usize; T] = from_fn(|j| taps[j.min(taps.len() - 1)]);
            let mut here = *sums;
            for image in images {
                let x = &x[image * plan.padded_image()..][..plan.padded_image()];
                let dy = &dy[image * plan.outputs * rows..][..plan.outputs * rows];
                // A block that is not full computes its last channel several times.
                let dy: [&[R]; C] = from_fn(|c| &dy[(first + c.min(channels - 1)) * rows..][..rows]);
                for row in 0..plan.out[0] {
                    for vector in 0..plan.vectors_per_row() {
                        let column = vector * V::LANES;
                        let base = row * plan.padded[1] + column;
                        let at = row * plan.vectors_per_row() * V::LANES + column;
                        // SAFETY: as in `convolve`; a row of `dy` has whole vectors.
                        unsafe {
                            let pixels: [V; T] = from_fn(|j| V::load(x.as_ptr().add(base + taps[j])));
                            for c in 0..C {
                                let slope = V::load(dy[c].as_ptr().add(at));
                                for j in 0..T {
                                    here[c][j] = pixels[j].times_plus(slope, here[c][j]);
                                }
                            }
                        }
                    }
                }
            }
            *sums = here;
        }
    }
    for (c, kernel) in weight.chunks_mut(patch).enumerate() {
        for (tap, w) in kernel.iter_mut().enumerate() {
            let mut lanes = [R::zero(); MOST_LANES];
            // SAFETY: there is room for the longest vector.
            unsafe { all[tap / T][c][tap % T].store(lanes.as_mut_ptr()) };
            *w = lanes[..V::LANES].iter().copied().sum();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kilter_numerics::Stream;

    /// Vectors as long as those of AVX-512 give what short ones give, on any machine.
    #[test]
    fn long_vectors_and_large_blocks_give_the_same() {
        let long = Tile { lanes: 16, channels: 8, slopes: 8, with: Instructions::Plain };
        let short = Tile { lanes: 4, channels: 4, slopes: 4, with: Instructions::Plain };
        for width in [7, 16, 21, 40] {
            let [of_long, of_short] =
                [long, short].map(|tile| Direct::new(tile, 1, [3, 15], [5, width], [3, 3], [1, 1]));
            let mut stream = Stream::new(&[width as u64], "convolution");
            let mut draw = |count: usize| -> Vec<f64> { (0..count).map(|_| stream.normal()).collect() };
            let (images, weight, dy) = (draw(2 * 3 * 5 * width), draw(15 * 27), draw(2 * 15 * 5 * width));
            let expected = of_short.run(&images, &of_short.pack(&weight), None);
            let mut padded = vec![0.0; of_long.padded_image()];
            let packed = of_long.pack(&weight);
            for (image, expected) in images.chunks(3 * 5 * width).zip(expected.chunks(15 * 5 * width)) {
                of_long.pad(image, &mut padded);
                let mut out = vec![0.0; expected.len()];
                // SAFETY: a padded image and packed kernels of the plan.
                unsafe { convolve::<f64, [f64; 16], 3>(&of_long, &padded, &packed, None, &mut out) };
                assert!(out.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "width {width}");
            }

            let mut expected = vec![0.0; weight.len()];
            of_short.kernels(&images, &dy, &mut expected);
            let whole = width.next_multiple_of(16);
            let padded: Vec<f64> = images
                .chunks(3 * 5 * width)
                .flat_map(|image| {
                    let mut padded = vec![0.0; of_long.padded_image()];
                    of_long.pad(image, &mut padded);
                    padded
                })
                .collect();
            let filled: Vec<f64> = dy
                .chunks(width)
                .flat_map(|row| row.iter().copied().chain(std::iter::repeat_n(0.0, whole - width)))
                .collect();
            let mut slopes = vec![0.0; weight.len()];
            for (at, slopes) in slopes.chunks_mut(8 * 27).enumerate() {
                // SAFETY: padded images and gradients in whole vectors of the plan.
                unsafe { correlate::<f64, [f64; 16], 8, TAPS>(&of_long, &padded, &filled, (0, 8 * at), slopes) };
            }
            assert!(slopes.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-11), "kernels at width {width}");
        }
    }
}
