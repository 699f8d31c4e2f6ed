//! The one way in which our own operations enter Burn: a [`Kernel`] computes an output and, later, the gradients, on
//! plain slices in memory; three extension methods (for one, two or three inputs) put any kernel on the tape.
//!
//! Kernels run on the CPU (Flex), in f32 and f64. On other devices and in other precisions an operation is composed of
//! Burn's own, see [`on_host`].

use std::fmt::Debug;
use std::sync::Arc;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, DispatchDevice, Flex, backend_extension};
use burn::tensor::{DType, Device, Shape, Tensor};
use burn_flex::{FlexTensor, Layout};

use crate::op::real::{Real, View};

/// An operation with a gradient of its own, on tensors in memory. Inputs come contiguous.
pub trait Kernel: Debug + Send + Sync + 'static {
    /// The output, and what the backward pass will want besides the inputs.
    fn forward(&self, inputs: &[FlexTensor]) -> (FlexTensor, Vec<FlexTensor>);

    /// The gradients of the inputs that are `wanted`, from that of the output.
    fn backward(
        &self,
        inputs: &[FlexTensor],
        saved: &[FlexTensor],
        gradient: &FlexTensor,
        wanted: &[bool],
    ) -> Vec<Option<FlexTensor>>;
}

/// A shared kernel, as the tape keeps it.
pub type Shared = Arc<dyn Kernel>;

/// A backend that runs kernels.
pub trait Host: Backend {
    /// [`Kernel::forward`].
    fn forward(kernel: &dyn Kernel, inputs: Vec<FloatTensor<Self>>) -> (FloatTensor<Self>, Vec<FloatTensor<Self>>);

    /// [`Kernel::backward`].
    fn backward(
        kernel: &dyn Kernel,
        state: State<Self>,
        gradient: FloatTensor<Self>,
        wanted: &[bool],
    ) -> Vec<Option<FloatTensor<Self>>>;
}

/// What the tape keeps of an operation.
#[derive(Debug)]
pub struct State<B: Backend> {
    kernel: Shared,
    inputs: Vec<FloatTensor<B>>,
    saved: Vec<FloatTensor<B>>,
}

impl<B: Backend> Clone for State<B> {
    fn clone(&self) -> Self {
        Self { kernel: self.kernel.clone(), inputs: self.inputs.clone(), saved: self.saved.clone() }
    }
}

impl Host for Flex {
    fn forward(kernel: &dyn Kernel, inputs: Vec<FlexTensor>) -> (FlexTensor, Vec<FlexTensor>) {
        kernel.forward(&inputs)
    }

    fn backward(
        kernel: &dyn Kernel,
        state: State<Self>,
        gradient: FlexTensor,
        wanted: &[bool],
    ) -> Vec<Option<FlexTensor>> {
        kernel.backward(&state.inputs, &state.saved, &gradient.to_contiguous(), wanted)
    }
}

/// Kernels as operations of Burn.
#[backend_extension(Flex, Autodiff)]
pub trait KernelOps: Backend {
    /// One input.
    fn kernel1(kernel: Shared, a: FloatTensor<Self>) -> FloatTensor<Self>;
    /// Two inputs.
    fn kernel2(kernel: Shared, a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self>;
    /// Three inputs.
    fn kernel3(kernel: Shared, a: FloatTensor<Self>, b: FloatTensor<Self>, c: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl KernelOps for Flex {
    fn kernel1(kernel: Shared, a: FlexTensor) -> FlexTensor {
        kernel.forward(&[a.to_contiguous()]).0
    }

    fn kernel2(kernel: Shared, a: FlexTensor, b: FlexTensor) -> FlexTensor {
        kernel.forward(&[a.to_contiguous(), b.to_contiguous()]).0
    }

    fn kernel3(kernel: Shared, a: FlexTensor, b: FlexTensor, c: FlexTensor) -> FlexTensor {
        kernel.forward(&[a.to_contiguous(), b.to_contiguous(), c.to_contiguous()]).0
    }
}

impl<B: Host + KernelOps + Contiguous, C: CheckpointStrategy> KernelOps for Autodiff<B, C> {
    fn kernel1(kernel: Shared, a: FloatTensor<Self>) -> FloatTensor<Self> {
        taped::<B, C, 1>(kernel, [a])
    }

    fn kernel2(kernel: Shared, a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        taped::<B, C, 2>(kernel, [a, b])
    }

    fn kernel3(kernel: Shared, a: FloatTensor<Self>, b: FloatTensor<Self>, c: FloatTensor<Self>) -> FloatTensor<Self> {
        taped::<B, C, 3>(kernel, [a, b, c])
    }
}

/// A backend that can lay a tensor out in order.
pub trait Contiguous: Backend {
    /// The same tensor, contiguous.
    fn contiguous(tensor: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl Contiguous for Flex {
    fn contiguous(tensor: FlexTensor) -> FlexTensor {
        tensor.to_contiguous()
    }
}

#[derive(Debug)]
struct Taped;

impl<B: Host, const N: usize> Backward<B, N> for Taped {
    type State = State<B>;

    fn backward(self, ops: Ops<State<B>, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<B>(&ops.node);
        let wanted: Vec<bool> = ops.parents.iter().map(Option::is_some).collect();
        let kernel = ops.state.kernel.clone();
        let gradients = B::backward(&*kernel, ops.state, gradient, &wanted);
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}

fn taped<B: Host + Contiguous, C: CheckpointStrategy, const N: usize>(
    kernel: Shared,
    inputs: [FloatTensor<Autodiff<B, C>>; N],
) -> FloatTensor<Autodiff<B, C>> {
    let primitives: Vec<FloatTensor<B>> = inputs.iter().map(|input| B::contiguous(input.primitive().clone())).collect();
    #[expect(clippy::redundant_closure_for_method_calls, reason = "the type of the method is private to Burn")]
    let guards = inputs.each_ref().map(|input| input.node());
    match Taped.prepare::<C>(guards).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let (output, saved) = B::forward(&*kernel, primitives.clone());
            prep.finish(State { kernel, inputs: primitives, saved }, output)
        }
        OpsKind::UnTracked(prep) => prep.finish(B::forward(&*kernel, primitives).0),
    }
}

/// Do kernels run where this tensor lies, and in its precision?
pub fn on_host<const D: usize>(tensor: &Tensor<D>) -> bool {
    matches!(tensor.dtype(), DType::F32 | DType::F64) && is_host(&tensor.device())
}

/// In f32 what was less exact: sums, exponentials and logarithms want more digits than products do.
pub(crate) fn widened<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    if tensor.dtype() == DType::F64 { tensor } else { tensor.cast(DType::F32) }
}

/// Do kernels run on this device?
pub fn is_host(device: &Device) -> bool {
    matches!(device.clone().inner().as_dispatch(), DispatchDevice::Flex(_))
}

/// Applies a kernel to one tensor.
pub fn apply1<const A: usize, const D: usize>(kernel: impl Kernel, a: Tensor<A>) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::kernel1(Arc::new(kernel), a.into_dispatch()))
}

/// Applies a kernel to two tensors.
pub fn apply2<const A: usize, const B: usize, const D: usize>(
    kernel: impl Kernel,
    a: Tensor<A>,
    b: Tensor<B>,
) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::kernel2(Arc::new(kernel), a.into_dispatch(), b.into_dispatch()))
}

/// Applies a kernel to three tensors.
pub fn apply3<const A: usize, const B: usize, const C: usize, const D: usize>(
    kernel: impl Kernel,
    a: Tensor<A>,
    b: Tensor<B>,
    c: Tensor<C>,
) -> Tensor<D> {
    let (a, b, c) = (a.into_dispatch(), b.into_dispatch(), c.into_dispatch());
    Tensor::from_dispatch(Dispatch::kernel3(Arc::new(kernel), a, b, c))
}

/// A tensor of these numbers.
pub fn tensor<R: Real>(numbers: Vec<R>, shape: impl Into<Shape>) -> FlexTensor {
    FlexTensor::new(burn::tensor::Bytes::from_elems(numbers), Layout::contiguous(shape.into()), R::dtype())
}

/// The numbers of a contiguous tensor.
pub fn numbers<R: Real>(tensor: &FlexTensor) -> View<'_, R> {
    let all = tensor.storage::<R>();
    match tensor.layout().contiguous_offsets() {
        Some((from, to)) => &all[from..to],
        None => all,
    }
}

/// The sizes of a tensor's axes.
pub fn sizes(tensor: &FlexTensor) -> &[usize] {
    tensor.layout().shape().as_slice()
}
