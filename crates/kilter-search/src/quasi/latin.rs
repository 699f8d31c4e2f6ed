//! Latin hypercubes: of n points one lies in each n-th of every coordinate, at a random place in it.
//!
//! McKay, Beckman and Conover, *A Comparison of Three Methods for Selecting Values of Input Variables in the Analysis of
//! Output from a Computer Code* (1979). After the last point of one cube comes the first of another. Cost: O(n) per
//! coordinate at the first point of a cube.

use kilter_numerics::Stream;

use super::Sequence;

/// Latin hypercubes, one after the other.
pub struct Latin {
    points: u64,
    seed: u64,
    /// The cube that `orders` belongs to.
    cube: Option<u64>,
    /// Per coordinate, which of its parts each point lies in.
    orders: Vec<Vec<u64>>,
}

impl Latin {
    /// Cubes of so many points (at least 1).
    pub fn new(points: u64, seed: u64) -> Self {
        Self { points: points.max(1), seed, cube: None, orders: Vec::new() }
    }
}

impl Sequence for Latin {
    fn point(&mut self, index: u64, point: &mut [f64]) {
        let (cube, within) = (index / self.points, index % self.points);
        if self.cube != Some(cube) || self.orders.len() != point.len() {
            self.cube = Some(cube);
            let order = |at: usize| {
                let mut order: Vec<u64> = (0..self.points).collect();
                Stream::new(&[self.seed, cube, at as u64], "latin").shuffle(&mut order);
                order
            };
            self.orders = (0..point.len()).map(order).collect();
        }
        let mut stream = Stream::new(&[self.seed, index], "latin place");
        for (x, order) in point.iter_mut().zip(&self.orders) {
            let part = order[within as usize] as f64;
            *x = ((part + stream.uniform()) / self.points as f64).min(1.0_f64.next_down());
        }
    }
}
