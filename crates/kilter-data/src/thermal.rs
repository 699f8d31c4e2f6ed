//! `thermal-synth`: made-up thermograms, in the place of patients' pictures that may not be passed on.
//!
//! A body (an ellipse of temperature 1) with a smooth field of warmer and cooler regions and some vessels, all of it the
//! same left and right. Every second picture has one hot spot on one side in addition. So what tells the classes apart
//! is where left and right differ, not how warm a pixel is. 600 pictures of 64x64, always the same ones.
//!
//! Cost: about 0.2 s once per process that asks for them.

use std::f64::consts::TAU;

use kilter_numerics::Stream;

use crate::images::{Images, Pictures};

/// Pictures in all, half of each class.
const COUNT: u64 = 600;

/// Side of a picture.
const SIDE: usize = 64;

/// The temperature that is the brightest pixel; what is warmer is cut.
const WARMEST: f64 = 1.8;

/// Standard deviation of the noise of every pixel.
const NOISE: f64 = 0.02;

/// What is added around a place.
struct Warmth {
    amplitude: f64,
    centre: [f64; 2],
    sigma: f64,
}

impl Warmth {
    fn at(&self, x: f64, y: f64) -> f64 {
        let squares = (x - self.centre[0]).powi(2) + (y - self.centre[1]).powi(2);
        self.amplitude * (-squares / (2.0 * self.sigma * self.sigma)).exp()
    }
}

/// A part of a circle.
struct Vessel {
    centre: [f64; 2],
    radius: f64,
    from: f64,
    extent: f64,
}

impl Vessel {
    /// 0.1 on the arc, next to nothing two pixels off it.
    fn at(&self, x: f64, y: f64) -> f64 {
        let (dx, dy) = (x - self.centre[0], y - self.centre[1]);
        if (dy.atan2(dx) - self.from).rem_euclid(TAU) > self.extent {
            return 0.0;
        }
        let off = dx.hypot(dy) - self.radius;
        0.1 * (-off * off / (2.0 * 0.8 * 0.8)).exp()
    }
}

/// The pictures.
pub fn thermal_synth() -> Images {
    let mut train = Pictures::default();
    for number in 0..COUNT {
        let ill = number % 2 == 1;
        picture(ill, &Stream::new(&[number], "thermal-synth"), &mut train.pixels);
        train.labels.push(u8::from(ill));
    }
    Images {
        name: "thermal-synth".to_owned(),
        shape: [1, SIDE, SIDE],
        peak: u8::MAX,
        names: vec!["no hot spot".to_owned(), "hot spot".to_owned()],
        train,
        test: None,
        notes: Vec::new(),
    }
}

fn picture(ill: bool, chance: &Stream, pixels: &mut Vec<u8>) {
    let mut body = chance.child("body");
    let mut between = |low: f64, high: f64| low + (high - low) * body.uniform();
    let axes = [between(24.0, 28.0), between(27.0, 31.0)];
    let side = SIDE as f64;
    let field: [Warmth; 6] = std::array::from_fn(|_| Warmth {
        amplitude: between(-0.15, 0.15),
        centre: [between(0.0, side), between(0.0, side)],
        sigma: between(6.0, 14.0),
    });
    let vessels: [Vessel; 3] = std::array::from_fn(|_| Vessel {
        centre: [between(0.0, side), between(0.0, side)],
        radius: between(8.0, 28.0),
        from: between(0.0, TAU),
        extent: between(0.6, 1.8),
    });
    let middle = (side - 1.0) / 2.0;
    let mut spot = chance.child("hot spot");
    let mut between = |low: f64, high: f64| low + (high - low) * spot.uniform();
    let hot = ill.then(|| {
        // Within three quarters of the body, and so far from the middle that it is on one side.
        let (radius, angle) = (0.75 * between(0.0, 1.0).sqrt(), between(0.0, TAU));
        let across = (radius * angle.cos() * axes[0]).abs().max(5.0);
        let across = if between(0.0, 1.0) < 0.5 { -across } else { across };
        Warmth {
            amplitude: between(0.08, 0.25),
            centre: [middle + across, middle + radius * angle.sin() * axes[1]],
            sigma: between(2.0, 5.0),
        }
    });
    let mut noise = chance.child("noise");
    for row in 0..SIDE {
        for column in 0..SIDE {
            let (x, y) = (column as f64, row as f64);
            let inside = ((x - middle) / axes[0]).powi(2) + ((y - middle) / axes[1]).powi(2) <= 1.0;
            let mut warmth = NOISE * noise.normal();
            if inside {
                let mirrored = side - 1.0 - x;
                warmth += 1.0 + hot.as_ref().map_or(0.0, |hot| hot.at(x, y));
                warmth += field.iter().map(|part| part.at(x, y) + part.at(mirrored, y)).sum::<f64>();
                warmth += vessels.iter().map(|vessel| vessel.at(x, y) + vessel.at(mirrored, y)).sum::<f64>();
            }
            pixels.push((warmth / WARMEST * 255.0).round().clamp(0.0, 255.0) as u8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mean over the body of by how much a pixel differs from its mirror image, smoothed over 5x5.
    fn asymmetry(picture: &[u8]) -> f64 {
        let at = |row: usize, column: usize| f64::from(picture[row * SIDE + column]);
        let mut most = 0.0_f64;
        for row in 2..SIDE - 2 {
            for column in 2..SIDE - 2 {
                let around = (0..25).map(|i| (row + i / 5 - 2, column + i % 5 - 2));
                let difference: f64 = around.map(|(r, c)| at(r, c) - at(r, SIDE - 1 - c)).sum();
                most = most.max((difference / 25.0).abs());
            }
        }
        most
    }

    #[test]
    fn a_hot_spot_is_what_breaks_the_symmetry() {
        let images = thermal_synth();
        assert_eq!(images.train.pixels.len(), 600 * 64 * 64);
        assert_eq!(images.train.labels.iter().filter(|&&label| label == 1).count(), 300);
        let of = |class: u8| -> Vec<f64> {
            let labels = images.train.labels.iter().enumerate().filter(|&(_, &label)| label == class).take(60);
            labels.map(|(i, _)| asymmetry(&images.train.pixels[i * 4096..(i + 1) * 4096])).collect()
        };
        // Noise of 0.02 is 2.8 steps of brightness; the mean of 25 differences of two has 0.8, and the largest of 3600
        // such means is hardly above 3.5. The weakest spot, 0.08, is 11 steps at its top.
        let (healthy, ill) = (of(0), of(1));
        let highest = healthy.iter().copied().fold(0.0, f64::max);
        assert!(highest < 5.0, "{highest}");
        assert!(ill.iter().all(|&spot| spot > highest), "{ill:?}");
        // And how warm a picture is tells next to nothing.
        let mean = |class: u8| {
            let all = images.train.labels.iter().enumerate().filter(|&(_, &label)| label == class);
            let sums = all.flat_map(|(i, _)| &images.train.pixels[i * 4096..(i + 1) * 4096]);
            sums.map(|&pixel| f64::from(pixel)).sum::<f64>() / (300.0 * 4096.0)
        };
        assert!((mean(1) - mean(0)).abs() < 2.0, "{} {}", mean(0), mean(1));
    }
}
