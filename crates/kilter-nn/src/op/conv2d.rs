//! Two-dimensional convolution. With stride 1 it is computed as it stands, by `direct.rs`; otherwise patches of an
//! image become the rows of a matrix (im2col), one product per image and group, forward and twice backward. Images are
//! shared out among threads; weight gradients are summed in a fixed order.
//!
//! Cost: `2·batch·out·in/groups·kernel·area` operations forward, twice that backward; memory of one image's patches per
//! thread.

use burn::tensor::Tensor;
use burn::tensor::module::conv2d as burn_conv2d;
use burn::tensor::ops::ConvOptions;
use burn_flex::FlexTensor;
use rayon::prelude::*;

use crate::op::by_precision;
use crate::op::direct::{Direct, Tile};
use crate::op::fresh::in_pieces;
use crate::op::gemm::{Matrix, multiply};
use crate::op::kernel::{Kernel, apply2, apply3, numbers, on_host, sizes, tensor};
use crate::op::real::Real;
use crate::op::reduce;

/// How a kernel walks over an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Conv2dShape {
    /// Steps between patches, `[down, across]`, at least 1.
    pub stride: [usize; 2],
    /// Zeros around the image, `[above and below, left and right]`.
    pub padding: [usize; 2],
    /// Into how many groups the channels are split: each output sees the inputs of its group. Divides both.
    pub groups: usize,
}

impl Default for Conv2dShape {
    fn default() -> Self {
        Self { stride: [1, 1], padding: [0, 0], groups: 1 }
    }
}

impl Conv2dShape {
    /// Stride 1 and as many zeros as keep the image's size under an odd kernel.
    pub fn same(kernel: usize) -> Self {
        Self { padding: [kernel / 2, kernel / 2], ..Self::default() }
    }

    /// The size of the output along one axis.
    pub fn out(&self, axis: usize, image: usize, kernel: usize) -> usize {
        (image + 2 * self.padding[axis]).saturating_sub(kernel) / self.stride[axis] + 1
    }
}

/// Convolution of images `[batch, in, height, width]` with `weight` `[out, in / groups, height, width]` and `bias`
/// `[out]`; gives `[batch, out, height', width']`.
///
/// # Panics
/// If the sizes do not fit: layers check them.
pub fn conv2d(x: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>, shape: Conv2dShape) -> Tensor<4> {
    if !on_host(&x) {
        let options = ConvOptions::new(shape.stride, shape.padding, [1, 1], shape.groups);
        return burn_conv2d(x, weight, bias, options);
    }
    match bias {
        Some(bias) => apply3(Conv2d(shape), x, weight, bias),
        None => apply2(Conv2d(shape), x, weight),
    }
}

#[derive(Debug)]
struct Conv2d(Conv2dShape);

/// All sizes of one convolution.
#[derive(Clone, Copy)]
struct Plan {
    shape: Conv2dShape,
    batch: usize,
    input: [usize; 3],
    kernel: [usize; 2],
    output: [usize; 3],
}

impl Plan {
    fn new(shape: Conv2dShape, x: &[usize], w: &[usize]) -> Self {
        let (batch, input, kernel) = (x[0], [x[1], x[2], x[3]], [w[2], w[3]]);
        assert!(
            x[1] == w[1] * shape.groups && w[0].is_multiple_of(shape.groups),
            "convolution of {x:?} with {w:?} in {} groups",
            shape.groups
        );
        let output = [w[0], shape.out(0, input[1], kernel[0]), shape.out(1, input[2], kernel[1])];
        Self { shape, batch, input, kernel, output }
    }

    /// Numbers in one input image, and in one of its groups.
    fn image(&self) -> (usize, usize) {
        let whole = self.input.iter().product::<usize>();
        (whole, whole / self.shape.groups)
    }

    /// Numbers in one output image.
    fn result(&self) -> usize {
        self.output.iter().product()
    }

    /// Pixels of an output channel.
    fn pixels(&self) -> usize {
        self.output[1] * self.output[2]
    }

    /// Numbers in a patch of one group.
    fn patch(&self) -> usize {
        self.input[0] / self.shape.groups * self.kernel[0] * self.kernel[1]
    }

    /// Output channels of a group.
    fn group_out(&self) -> usize {
        self.output[0] / self.shape.groups
    }

    /// Is a patch a pixel, so that the image already is the matrix of its patches?
    fn is_pointwise(&self) -> bool {
        self.kernel == [1, 1] && self.shape.stride == [1, 1] && self.shape.padding == [0, 0]
    }

    /// As a convolution without patches, where that is quicker: images side by side keep all threads busy.
    fn direct<R: Real>(&self) -> Option<Direct> {
        let plain = self.shape.stride == [1, 1] && !self.is_pointwise();
        let reaches = |axis: usize| self.input[axis + 1] + 2 * self.shape.padding[axis] >= self.kernel[axis];
        if !(plain && reaches(0) && reaches(1)) || self.batch == 1 || self.result() == 0 {
            return None;
        }
        let groups = self.shape.groups;
        let channels = [self.input[0] / groups, self.output[0] / groups];
        let (image, padding) = ([self.input[1], self.input[2]], self.shape.padding);
        let direct = Direct::new(Tile::here::<R>(), groups, channels, image, self.kernel, padding);
        direct.pays().then_some(direct)
    }

    /// Calls `visit(row of the matrix, first column, first input number, count, step)` for every run of numbers that a
    /// row of patches takes from one row of the image. Inlined into both directions.
    #[inline(always)]
    fn runs(&self, mut visit: impl FnMut(usize, usize, usize, usize)) {
        let [stride_y, stride_x] = self.shape.stride;
        let [pad_y, pad_x] = self.shape.padding;
        let ([kernel_y, kernel_x], [_, height, width]) = (self.kernel, self.input);
        let [_, out_y, out_x] = self.output;
        for channel in 0..self.input[0] / self.shape.groups {
            for ky in 0..kernel_y {
                for kx in 0..kernel_x {
                    let row = (channel * kernel_y + ky) * kernel_x + kx;
                    // Output columns whose input column lies inside: pad ≤ x·stride + kx < width + pad.
                    let from = pad_x.saturating_sub(kx).div_ceil(stride_x);
                    let end = (width + pad_x).saturating_sub(kx).div_ceil(stride_x).min(out_x);
                    for y in 0..out_y {
                        let line = y * stride_y + ky;
                        if line < pad_y || line - pad_y >= height || from >= end {
                            continue;
                        }
                        let source = (channel * height + line - pad_y) * width + from * stride_x + kx - pad_x;
                        visit(row, y * out_x + from, source, end - from);
                    }
                }
            }
        }
    }

    /// Writes the patches of one group of an image as the rows of a matrix `[patch, pixels]`.
    fn unfold<R: Real>(&self, image: &[R], patches: &mut [R]) {
        let (pixels, step) = (self.pixels(), self.shape.stride[1]);
        patches.fill(R::zero());
        self.runs(|row, column, source, count| {
            let to = &mut patches[row * pixels + column..][..count];
            if step == 1 {
                to.copy_from_slice(&image[source..source + count]);
            } else {
                for (i, to) in to.iter_mut().enumerate() {
                    *to = image[source + i * step];
                }
            }
        });
    }

    /// Adds patches back to where they came from.
    fn fold<R: Real>(&self, patches: &[R], image: &mut [R]) {
        let (pixels, step) = (self.pixels(), self.shape.stride[1]);
        self.runs(|row, column, source, count| {
            let from = &patches[row * pixels + column..][..count];
            if step == 1 {
                for (to, from) in image[source..source + count].iter_mut().zip(from) {
                    *to += *from;
                }
            } else {
                for (i, from) in from.iter().enumerate() {
                    image[source + i * step] += *from;
                }
            }
        });
    }

    fn forward<R: Real>(&self, x: &[R], weight: &[R], bias: Option<&[R]>) -> Vec<R> {
        let (pixels, patch, out) = (self.pixels(), self.patch(), self.group_out());
        let (image, group) = self.image();
        if let Some(direct) = self.direct::<R>() {
            return direct.run(x, &direct.pack(weight), bias);
        }
        let scratch = || vec![R::zero(); if self.is_pointwise() { 0 } else { patch * pixels }];
        // One image: the product itself is shared out among the threads.
        let alone = self.batch == 1;
        let convolve = |scratch: &mut Vec<R>, i: usize, y: &mut [R]| {
            let x = &x[i * image..][..image];
            if let Some(bias) = bias {
                for (y, bias) in y.chunks_mut(pixels).zip(bias) {
                    y.fill(*bias);
                }
            }
            for g in 0..self.shape.groups {
                let x = &x[g * group..(g + 1) * group];
                let patches = if self.is_pointwise() {
                    x
                } else {
                    self.unfold(x, scratch);
                    &scratch[..]
                };
                let keep = if bias.is_some() { R::one() } else { R::zero() };
                let w = Matrix::new(&weight[g * out * patch..], out, patch);
                multiply(
                    &mut y[g * out * pixels..],
                    pixels,
                    w,
                    Matrix::new(patches, patch, pixels),
                    R::one(),
                    keep,
                    alone,
                );
            }
        };
        in_pieces(self.batch * self.result(), self.result(), scratch, convolve).0
    }

    /// Gradients of the image and of the weights, as far as wanted.
    fn backward<R: Real>(&self, x: &[R], weight: &[R], dy: &[R], wanted: [bool; 2]) -> (Vec<R>, Vec<R>) {
        let (pixels, patch, out) = (self.pixels(), self.patch(), self.group_out());
        let (image, group) = self.image();
        if let Some((direct, back)) = self.direct::<R>().and_then(|direct| Some((direct.clone(), direct.back()?))) {
            let mut dw = vec![R::zero(); if wanted[1] { weight.len() } else { 0 }];
            if wanted[1] {
                direct.kernels(x, dy, &mut dw);
            }
            let dx = if wanted[0] { back.run(dy, &back.pack_back(weight), None) } else { Vec::new() };
            return (dx, dw);
        }
        let mut dx = vec![R::zero(); if wanted[0] { x.len() } else { 0 }];
        if dy.is_empty() {
            return (dx, vec![R::zero(); if wanted[1] { weight.len() } else { 0 }]);
        }
        let alone = self.batch == 1;
        // Blocks of images, as many whatever the number of threads: each sums its weight gradient in order.
        let block = self.batch.div_ceil(16);
        let blocks = self.batch.div_ceil(block);
        let mut places: Vec<&mut [R]> =
            if wanted[0] { dx.chunks_mut(block * image).collect() } else { (0..blocks).map(|_| &mut [][..]).collect() };
        let parts: Vec<Vec<R>> = places
            .par_iter_mut()
            .enumerate()
            .map(|(b, dx)| {
                let mut dw = vec![R::zero(); if wanted[1] { weight.len() } else { 0 }];
                let mut patches = vec![R::zero(); if self.is_pointwise() { 0 } else { patch * pixels }];
                for i in b * block..((b + 1) * block).min(self.batch) {
                    for g in 0..self.shape.groups {
                        let x = &x[i * image + g * group..][..group];
                        let dy = Matrix::new(&dy[i * self.result() + g * out * pixels..], out, pixels);
                        if wanted[1] {
                            let unfolded = if self.is_pointwise() {
                                x
                            } else {
                                self.unfold(x, &mut patches);
                                &patches[..]
                            };
                            let unfolded = Matrix::new(unfolded, patch, pixels).t();
                            multiply(&mut dw[g * out * patch..], patch, dy, unfolded, R::one(), R::one(), alone);
                        }
                        if wanted[0] {
                            let w = Matrix::new(&weight[g * out * patch..], out, patch).t();
                            let dx = &mut dx[(i - b * block) * image + g * group..][..group];
                            if self.is_pointwise() {
                                multiply(dx, pixels, w, dy, R::one(), R::zero(), alone);
                            } else {
                                multiply(&mut patches, pixels, w, dy, R::one(), R::zero(), alone);
                                self.fold(&patches, dx);
                            }
                        }
                    }
                }
                dw
            })
            .collect();
        let mut parts = parts.into_iter();
        let mut dw = parts.next().unwrap_or_default();
        for part in parts {
            for (sum, part) in dw.iter_mut().zip(part) {
                *sum += part;
            }
        }
        (dx, dw)
    }

    /// The gradient of the bias: sums over images and pixels.
    fn bias<R: Real>(&self, dy: &[R]) -> Vec<R> {
        let (pixels, channels) = (self.pixels(), self.output[0]);
        let of_channel = |c: usize| dy.chunks(pixels.max(1)).skip(c).step_by(channels).map(reduce::sum).sum::<R>();
        (0..channels).into_par_iter().map(of_channel).collect()
    }
}

impl Kernel for Conv2d {
    fn forward(&self, inputs: &[FlexTensor]) -> (FlexTensor, Vec<FlexTensor>) {
        let plan = Plan::new(self.0, sizes(&inputs[0]), sizes(&inputs[1]));
        let shape = [plan.batch, plan.output[0], plan.output[1], plan.output[2]];
        by_precision!(inputs[0], R => {
            let bias = inputs.get(2).map(numbers::<R>);
            (tensor::<R>(plan.forward(numbers(&inputs[0]), numbers(&inputs[1]), bias), shape), Vec::new())
        })
    }

    fn backward(
        &self,
        inputs: &[FlexTensor],
        _: &[FlexTensor],
        gradient: &FlexTensor,
        wanted: &[bool],
    ) -> Vec<Option<FlexTensor>> {
        let plan = Plan::new(self.0, sizes(&inputs[0]), sizes(&inputs[1]));
        by_precision!(gradient, R => {
            let dy = numbers::<R>(gradient);
            let (x, w) = (numbers::<R>(&inputs[0]), numbers::<R>(&inputs[1]));
            let (dx, dw) = plan.backward(x, w, dy, [wanted[0], wanted[1]]);
            let dx = wanted[0].then(|| tensor(dx, sizes(&inputs[0]).to_vec()));
            let dw = wanted[1].then(|| tensor(dw, sizes(&inputs[1]).to_vec()));
            let db = wanted.get(2).map(|&wanted| wanted.then(|| tensor(plan.bias(dy), [plan.output[0]])));
            [dx, dw].into_iter().chain(db).collect()
        })
    }
}
