//! Descriptions of networks: what they count must be what they compute with.

use kilter_nn::context::Context;
use kilter_nn::model::{Network, ResNet, Xception};
use kilter_nn::params::numbers;
use kilter_nn::train::device;
use kilter_nn::{Tensor, TensorData};
use kilter_numerics::Stream;

#[test]
fn a_small_xception_is_as_large_as_the_paper_counts() {
    let model = Xception { image: [3, 9, 8], width: 4, blocks: 2, kernel: 3, classes: 5, dropout: 0.0 };
    model.check().unwrap();
    // A separable convolution of c to d channels has 9 c + c d weights and a normalisation of 2 d; a block two of them and
    // a pointwise shortcut with its normalisation.
    let separable = |c: u64, d: u64| 9 * c + c * d + 2 * d;
    let block = |c: u64, d: u64| separable(c, d) + separable(d, d) + c * d + 2 * d;
    let first = 9 * 3 * 4 + 2 * 4;
    assert_eq!(model.parameters(), first + block(4, 8) + block(8, 16) + 16 * 5 + 5);
    // Multiply-adds, pixel by pixel: 9x8, then 5x4 after the first block.
    let adds =
        |c: u64, d: u64, pixels: u64, halved: u64| (9 * c + c * d) * pixels + (9 * d + d * d) * pixels + c * d * halved;
    assert_eq!(model.multiply_adds(), 9 * 3 * 4 * 72 + adds(4, 8, 72, 20) + adds(8, 16, 20, 6) + 16 * 5);
}

#[test]
fn pictures_of_odd_sides_pass_and_bad_sizes_are_named() {
    let image = [1, 7, 5];
    let xception = Xception { image, width: 3, blocks: 3, kernel: 5, classes: 2, dropout: 0.5 };
    let resnet = ResNet { image, width: 3, stages: 3, blocks: 1, kernel: 5, classes: 2, dropout: 0.5 };
    let device = device("cpu").unwrap();
    let x = || Tensor::<4>::from_data(TensorData::new(vec![0.5_f32; 2 * 35], [2, 1, 7, 5]), &device);
    let stream = Stream::new(&[1], "weights");
    let mut context = Context::evaluation();
    let said = xception.forward(&xception.init(&stream, &device), x(), &mut context);
    assert_eq!(said.dims(), [2, 2]);
    let said = numbers(&said);
    assert!(said.iter().all(|logit: &f64| logit.is_finite()) && said[..2] == said[2..], "{said:?}");
    let said = resnet.forward(&resnet.init(&stream, &device), x(), &mut context);
    assert_eq!(said.dims(), [2, 2]);
    let why = Xception { kernel: 4, ..xception }.check().unwrap_err().to_string();
    assert_eq!(why, "xception: the kernel is 4, and must be odd");
    let why = ResNet { kernel: 2, ..resnet }.check().unwrap_err().to_string();
    assert_eq!(why, "resnet: the kernel is 2, and must be odd");
}
