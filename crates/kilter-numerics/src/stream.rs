//! Counter-based random streams: the same key always gives the same numbers, on any thread, in any order.
//!
//! The generator is Philox4x32-10 (Salmon et al., *Parallel Random Numbers: As Easy as 1, 2, 3*, SC 2011): a block
//! cipher of a counter, so a stream has no state but its position. A stream's key is a hash of what it is *for* (study
//! seed, trial number, repeat, purpose); nobody who draws more numbers can disturb anybody else's draws.
//!
//! Cost: one block of ten rounds gives two `u64`; a stream is 48 bytes.

const MULTIPLIER: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// One Philox4x32-10 block: four random words from a counter and a key.
pub fn philox4x32(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    philox4x32_lanes(counter.map(|word| [word]), key).map(|[word]| word)
}

/// The blocks of several counters side by side, as vectors of the machine compute them: the `l`th words of all four give the
/// counter of the `l`th block, and its words. Inlined, so that they are those of the caller.
#[inline(always)]
pub fn philox4x32_lanes<const L: usize>(counters: [[u32; L]; 4], key: [u32; 2]) -> [[u32; L]; 4] {
    let ([mut w, mut x, mut y, mut z], mut k) = (counters, key);
    for round in 0..10 {
        if round > 0 {
            k = [k[0].wrapping_add(WEYL[0]), k[1].wrapping_add(WEYL[1])];
        }
        for (((w, x), y), z) in w.iter_mut().zip(&mut x).zip(&mut y).zip(&mut z) {
            let low = u64::from(MULTIPLIER[0]) * u64::from(*w);
            let high = u64::from(MULTIPLIER[1]) * u64::from(*y);
            (*w, *x) = ((high >> 32) as u32 ^ *x ^ k[0], high as u32);
            (*y, *z) = ((low >> 32) as u32 ^ *z ^ k[1], low as u32);
        }
    }
    [w, x, y, z]
}

/// A random stream with a key of its own. Cloning it copies its position too.
#[derive(Clone, Debug)]
pub struct Stream {
    key: [u32; 2],
    block: u128,
    spare: Option<u64>,
}

impl Stream {
    /// The stream of `purpose` under `path`, usually (study seed, trial number, repeat).
    ///
    /// Another path or purpose gives a stream that is independent for every practical end (64-bit keys).
    pub fn new(path: &[u64], purpose: &str) -> Self {
        let mut key = absorb(0x6B69_6C74_6572, path.len() as u64);
        for &word in path {
            key = absorb(key, word);
        }
        for chunk in purpose.as_bytes().chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            key = absorb(key, u64::from_le_bytes(word));
        }
        key = absorb(key, purpose.len() as u64);
        Self { key: [key as u32, (key >> 32) as u32], block: 0, spare: None }
    }

    /// A stream for a part of this one's purpose; does not move this stream.
    pub fn child(&self, purpose: &str) -> Self {
        Self::new(&[u64::from(self.key[0]) | (u64::from(self.key[1]) << 32)], purpose)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let c = self.block;
        self.block = c.wrapping_add(1);
        let r = philox4x32([c as u32, (c >> 32) as u32, (c >> 64) as u32, (c >> 96) as u32], self.key);
        self.spare = Some(u64::from(r[2]) | (u64::from(r[3]) << 32));
        u64::from(r[0]) | (u64::from(r[1]) << 32)
    }

    /// Uniform in `[0, 1)`, a multiple of 2⁻⁵³.
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// Uniform in `0..n`, without bias (Lemire 2019). Zero if `n` is zero.
    pub fn below(&mut self, n: u64) -> u64 {
        let mut wide = u128::from(self.bits()) * u128::from(n);
        if (wide as u64) < n {
            let threshold = n.wrapping_neg() % n.max(1);
            while (wide as u64) < threshold {
                wide = u128::from(self.bits()) * u128::from(n);
            }
        }
        (wide >> 64) as u64
    }

    /// Uniform in `0..n` as an index.
    pub fn index(&mut self, n: usize) -> usize {
        self.below(n as u64) as usize
    }

    /// Standard normal (Box and Muller; one of the pair, so that every draw costs the same two uniforms).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Puts `items` into a uniformly random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.index(i + 1));
        }
    }

    /// An index drawn in proportion to `weights` (finite, not negative, not all zero).
    pub fn weighted(&mut self, weights: &[f64]) -> usize {
        let mut left = self.uniform() * weights.iter().sum::<f64>();
        for (i, weight) in weights.iter().enumerate() {
            left -= weight;
            if left < 0.0 {
                return i;
            }
        }
        // Rounding left a remainder: the last index that can be drawn at all.
        weights.iter().rposition(|&w| w > 0.0).unwrap_or(0)
    }
}

/// Mixes one word into a 64-bit state (the finaliser of SplitMix64 over the sum with a Weyl constant).
fn absorb(state: u64, word: u64) -> u64 {
    let mut z = (state ^ word).wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (z ^ (z >> 31)).wrapping_add(state.rotate_left(17))
}
