//! Convolution with stride 1 without patches: a few vectors of neighbouring pixels stay in registers for a few output
//! channels at a time, while all inputs that they depend on pass by once. The same loop serves the gradient of the image
//! (with kernels flipped and channels exchanged); that of the kernels keeps a few of their numbers in registers instead.
//!
//! Cost: the multiplications of the convolution and a padded copy of the images; rows are filled up to whole vectors, so
//! narrow images waste some of it.
#![allow(unsafe_code)]

use std::array::from_fn;

use rayon::prelude::*;

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

/// Numbers of a kernel whose gradients are in registers at a time.
const TAPS: usize = 3;

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

    /// Blocks of output channels: where each begins, and how many it computes, an even number.
    fn blocks(&self) -> impl Iterator<Item = (usize, usize)> {
        let most = self.tile.channels;
        let firsts = (0..self.outputs).step_by(most);
        firsts.map(move |first| (first, (self.outputs - first).next_multiple_of(2).min(most)))
    }

    /// Numbers of a group's packed kernels.
    fn packed(&self) -> usize {
        self.outputs.next_multiple_of(2) * self.taps.len()
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
    pub fn run<R: Real>(&self, images: &[R], packed: &[R], bias: Option<&[R]>, out: &mut [R]) {
        let image = self.inputs * self.image[0] * self.image[1];
        let padded = || vec![R::zero(); self.padded_image()];
        let parts = out.par_chunks_mut(self.outputs * self.pixels()).zip(images.par_chunks(image)).enumerate();
        parts.for_each_init(padded, |padded, (at, (out, image))| {
            let group = at % self.groups;
            self.pad(image, padded);
            let bias = bias.map(|bias| &bias[group * self.outputs..]);
            self.convolve(padded, &packed[group * self.packed()..], bias, out);
        });
    }

    /// One padded image.
    fn convolve<R: Real>(&self, x: &[R], packed: &[R], bias: Option<&[R]>, out: &mut [R]) {
        assert!(x.len() >= self.padded_image() && packed.len() >= self.packed());
        match self.tile.with {
            // SAFETY: the lengths were just checked.
            Instructions::Plain => unsafe { convolve::<R, 4, 2, false>(self, x, packed, bias, out) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above; `Tile::here` found that the machine has these instructions.
            Instructions::Avx2 => unsafe { convolve_avx2(self, x, packed, bias, out) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Instructions::Avx512 => unsafe { convolve_avx512(self, x, packed, bias, out) },
        }
    }

    /// Puts the numbers of one channel where they belong, from a vector on; a channel beyond the last is passed over.
    #[inline(always)]
    fn write<R: Real, const L: usize>(
        &self,
        out: &mut [R],
        bias: Option<&[R]>,
        channel: usize,
        vector: usize,
        sums: &[[R; L]],
    ) {
        if channel >= self.outputs {
            return;
        }
        let (per_row, width) = (self.vectors_per_row(), self.out[1]);
        let shift = bias.map_or(R::zero(), |bias| bias[channel]);
        for (vector, sums) in (vector..).zip(sums) {
            let (row, column) = (vector / per_row, vector % per_row * L);
            let to = &mut out[channel * self.pixels() + row * width + column..][..L.min(width - column)];
            to.iter_mut().zip(sums).for_each(|(to, &sum)| *to = sum + shift);
        }
    }

    /// The gradient of the kernels, from the images and the gradients of the outputs; blocks of output channels are shared
    /// out among threads, each takes the images in order.
    pub fn kernels<R: Real>(&self, images: &[R], dy: &[R], weight: &mut [R]) {
        let (image, result) = (self.inputs * self.image[0] * self.image[1], self.outputs * self.pixels());
        let batch = dy.len() / result;
        let mut padded = vec![R::zero(); batch * self.padded_image()];
        padded
            .par_chunks_mut(self.padded_image())
            .zip(images.par_chunks(image))
            .for_each(|(to, image)| self.pad(image, to));
        // Rows of whole vectors, filled up with zeros.
        let whole = self.vectors_per_row() * self.tile.lanes;
        let filled: Vec<R> = match whole == self.out[1] {
            true => Vec::new(),
            false => dy
                .par_chunks(self.out[1])
                .flat_map_iter(|row| row.iter().copied().chain(std::iter::repeat_n(R::zero(), whole - row.len())))
                .collect(),
        };
        let dy = if filled.is_empty() { dy } else { &filled };
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
            Instructions::Plain => unsafe { correlate::<R, 4, 4, false>(self, x, dy, first, weight) },
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
    unsafe { convolve::<R, 8, 2, true>(plan, x, packed, bias, out) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,fma")]
unsafe fn convolve_avx512<R: Real>(plan: &Direct, x: &[R], packed: &[R], bias: Option<&[R]>, out: &mut [R]) {
    // SAFETY: the caller keeps `convolve`'s.
    unsafe { convolve::<R, 16, 3, true>(plan, x, packed, bias, out) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn correlate_avx2<R: Real>(plan: &Direct, x: &[R], dy: &[R], first: (usize, usize), weight: &mut [R]) {
    // SAFETY: the caller keeps `correlate`'s.
    unsafe { correlate::<R, 8, 4, true>(plan, x, dy, first, weight) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,fma")]
unsafe fn correlate_avx512<R: Real>(plan: &Direct, x: &[R], dy: &[R], first: (usize, usize), weight: &mut [R]) {
    // SAFETY: the caller keeps `correlate`'s.
    unsafe { correlate::<R, 16, 8, true>(plan, x, dy, first, weight) }
}

/// `a·b + c`, in one rounding where the machine does that in one instruction.
#[inline(always)]
fn multiply_add<R: Real, const FUSED: bool>(a: R, b: R, c: R) -> R {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// # Safety
/// `x` holds a padded image, `packed` all kernels.
#[inline(always)]
unsafe fn convolve<R: Real, const L: usize, const X: usize, const FUSED: bool>(
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
            let mut write = |sums: &[[R; L]], c: usize, vector: usize| plan.write(out, bias, first + c, vector, sums);
            // SAFETY: the caller's; a block's kernels begin where those before it end.
            unsafe {
                match size {
                    8 => block::<R, L, 8, X, FUSED>(plan, x, kernels, vector, &mut write),
                    6 => block::<R, L, 6, X, FUSED>(plan, x, kernels, vector, &mut write),
                    4 => block::<R, L, 4, X, FUSED>(plan, x, kernels, vector, &mut write),
                    _ => block::<R, L, 2, X, FUSED>(plan, x, kernels, vector, &mut write),
                }
            }
        }
    }
}

/// `C` channels of `X` vectors of pixels from `vector`, or as many as are left; says each channel's numbers.
///
/// # Safety
/// `x` holds a padded image.
#[inline(always)]
unsafe fn block<R: Real, const L: usize, const C: usize, const X: usize, const FUSED: bool>(
    plan: &Direct,
    x: &[R],
    kernels: &[R],
    vector: usize,
    write: &mut impl FnMut(&[[R; L]], usize, usize),
) {
    let per_row = plan.vectors_per_row();
    let base = |vector: usize| vector / per_row * plan.padded[1] + vector % per_row * L;
    let left = plan.out[0] * per_row - vector;
    // SAFETY: a vector begins in a row of the output, and a tap reaches at most one kernel further; padded rows are as long
    // as a row's vectors and a kernel.
    unsafe {
        if left >= X {
            let sums = sums::<R, L, C, X, FUSED>(x, from_fn(|j| base(vector + j)), &plan.taps, kernels);
            sums.iter().enumerate().for_each(|(c, sums)| write(sums, c, vector));
        } else {
            for vector in vector..vector + left {
                let sums = sums::<R, L, C, 1, FUSED>(x, [base(vector)], &plan.taps, kernels);
                sums.iter().enumerate().for_each(|(c, sums)| write(sums, c, vector));
            }
        }
    }
}

/// What `C` channels have in `X` vectors of pixels.
///
/// # Safety
/// `L` numbers from every base and tap lie in `x`, `C` kernels in `kernels`.
#[inline(always)]
unsafe fn sums<R: Real, const L: usize, const C: usize, const X: usize, const FUSED: bool>(
    x: &[R],
    bases: [usize; X],
    taps: &[usize],
    kernels: &[R],
) -> [[[R; L]; X]; C] {
    let mut sums = [[[R::zero(); L]; X]; C];
    let starts: [*const R; X] = bases.map(|base| x[base..].as_ptr());
    for (tap, weights) in taps.iter().zip(kernels.chunks_exact(C)) {
        // SAFETY: the caller's.
        let pixels: [[R; L]; X] = from_fn(|j| unsafe { starts[j].add(*tap).cast::<[R; L]>().read() });
        for c in 0..C {
            let weight = weights[c];
            for j in 0..X {
                for l in 0..L {
                    sums[c][j][l] = multiply_add::<R, FUSED>(pixels[j][l], weight, sums[c][j][l]);
                }
            }
        }
    }
    sums
}

/// # Safety
/// `x` holds whole padded images, `dy` as many gradients with rows of whole vectors.
#[inline(always)]
unsafe fn correlate<R: Real, const L: usize, const C: usize, const FUSED: bool>(
    plan: &Direct,
    x: &[R],
    dy: &[R],
    (group, first): (usize, usize),
    weight: &mut [R],
) {
    let patch = plan.taps.len();
    let channels = weight.len() / patch;
    let rows = plan.out[0] * plan.vectors_per_row() * L;
    // Kernels' numbers by threes, each a vector until the end.
    let groups = patch.div_ceil(TAPS);
    let mut all = vec![[[[R::zero(); L]; TAPS]; C]; groups];
    let images = x.chunks_exact(plan.padded_image()).zip(dy.chunks_exact(plan.outputs * rows));
    for (x, dy) in images.skip(group).step_by(plan.groups) {
        // A block that is not full computes its last channel several times.
        let dy: [&[R]; C] = from_fn(|c| &dy[(first + c.min(channels - 1)) * rows..][..rows]);
        for (taps, sums) in plan.taps.chunks(TAPS).zip(&mut all) {
            // A group that is not full computes its last number several times.
            let taps: [usize; TAPS] = from_fn(|j| taps[j.min(taps.len() - 1)]);
            let mut here = *sums;
            for row in 0..plan.out[0] {
                for vector in 0..plan.vectors_per_row() {
                    let column = vector * L;
                    let base = row * plan.padded[1] + column;
                    let at = row * plan.vectors_per_row() * L + column;
                    // SAFETY: as in `convolve`; a row of `dy` has whole vectors.
                    let pixels: [[R; L]; TAPS] =
                        taps.map(|tap| unsafe { x.as_ptr().add(base + tap).cast::<[R; L]>().read() });
                    for c in 0..C {
                        // SAFETY: as above.
                        let slope: [R; L] = unsafe { dy[c].as_ptr().add(at).cast::<[R; L]>().read() };
                        for j in 0..TAPS {
                            for l in 0..L {
                                here[c][j][l] = multiply_add::<R, FUSED>(pixels[j][l], slope[l], here[c][j][l]);
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
            *w = all[tap / TAPS][c][tap % TAPS].iter().copied().sum();
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
            let mut expected = vec![0.0; dy.len()];
            of_short.run(&images, &of_short.pack(&weight), None, &mut expected);
            let mut padded = vec![0.0; of_long.padded_image()];
            let packed = of_long.pack(&weight);
            for (image, expected) in images.chunks(3 * 5 * width).zip(expected.chunks(15 * 5 * width)) {
                of_long.pad(image, &mut padded);
                let mut out = vec![0.0; expected.len()];
                // SAFETY: a padded image and packed kernels of the plan.
                unsafe { convolve::<f64, 16, 3, false>(&of_long, &padded, &packed, None, &mut out) };
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
                unsafe { correlate::<f64, 16, 8, false>(&of_long, &padded, &filled, (0, 8 * at), slopes) };
            }
            assert!(slopes.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-11), "kernels at width {width}");
        }
    }
}
