//! Element types: how numbers lie in a file, and how they become `f64` and back with one rounding.
//!
//! Reading is exact: every float type of the format fits into `f64`. Writing rounds once, to nearest with ties to even.
//! For the 16-bit types that goes by way of `f32` *rounded to odd* (Boldo and Melquiond, *Emulation of FMA and Correctly
//! Rounded Sums: Proved Algorithms Using Rounding to Odd*, 2008): `f32` has more than two bits more than either, so the
//! second rounding sees everything that the first dropped. Cost: a few operations per entry.

use std::fmt;

use half::f16;
use half::slice::HalfFloatSliceExt;
use serde::{Deserialize, Serialize};

/// The type of a tensor's entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// IEEE double.
    F64,
    /// IEEE single.
    F32,
    /// IEEE half.
    F16,
    /// The upper half of a single.
    Bf16,
    /// 8 bits with 4 of exponent and 3 of fraction, without infinities (OCP "FN"): at most 448.
    F8E4M3,
    /// 8 bits with 5 of exponent and 2 of fraction: at most 57344.
    F8E5M2,
    /// Anything that is copied but never computed with: its name in the file, and its width in bits.
    Opaque(&'static str, u8),
}

/// Types that are copied bit by bit.
const OPAQUE: [(&str, u8); 16] = [
    ("BOOL", 8),
    ("U8", 8),
    ("I8", 8),
    ("U16", 16),
    ("I16", 16),
    ("U32", 32),
    ("I32", 32),
    ("U64", 64),
    ("I64", 64),
    ("C64", 64),
    ("F8_E8M0", 8),
    ("F8_E4M3FNUZ", 8),
    ("F8_E5M2FNUZ", 8),
    ("F6_E2M3", 6),
    ("F6_E3M2", 6),
    ("F4", 4),
];

/// Types that are computed with: the name in files, the name in settings.
const FLOATS: [(Dtype, &str, &str); 6] = [
    (Dtype::F64, "F64", "f64"),
    (Dtype::F32, "F32", "f32"),
    (Dtype::F16, "F16", "f16"),
    (Dtype::Bf16, "BF16", "bf16"),
    (Dtype::F8E4M3, "F8_E4M3", "f8_e4m3"),
    (Dtype::F8E5M2, "F8_E5M2", "f8_e5m2"),
];

/// How many entries are converted at a time: 16 KiB of `f32`, small beside a first-level cache.
const RUN: usize = 4096;

impl Dtype {
    /// Bytes without a number's meaning (packed codes).
    pub const U8: Self = Self::Opaque("U8", 8);
    /// Positions.
    pub const U32: Self = Self::Opaque("U32", 32);

    /// The type of this name in a file (`BF16`), if the format knows it.
    pub fn from_file(name: &str) -> Option<Self> {
        let float = FLOATS.iter().find(|(_, file, _)| *file == name).map(|(dtype, ..)| *dtype);
        float.or_else(|| OPAQUE.iter().find(|(file, _)| *file == name).map(|&(file, bits)| Self::Opaque(file, bits)))
    }

    /// The float type of this name in settings (`bf16`).
    pub fn from_setting(name: &str) -> Option<Self> {
        FLOATS.iter().find(|(_, _, setting)| *setting == name).map(|(dtype, ..)| *dtype)
    }

    /// The names that [`Dtype::from_setting`] knows.
    pub fn settings() -> [&'static str; 6] {
        FLOATS.map(|(_, _, setting)| setting)
    }

    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Opaque(name, _) => name,
            float => FLOATS.iter().find(|(dtype, ..)| *dtype == float).map_or("", |(_, file, _)| file),
        }
    }

    /// Width of an entry, in bits.
    pub fn bits(self) -> u64 {
        match self {
            Self::F64 => 64,
            Self::F32 => 32,
            Self::F16 | Self::Bf16 => 16,
            Self::F8E4M3 | Self::F8E5M2 => 8,
            Self::Opaque(_, bits) => u64::from(bits),
        }
    }

    /// Can it be computed with?
    pub fn is_float(self) -> bool {
        !matches!(self, Self::Opaque(..))
    }

    /// Size of `entries` entries in bytes; nothing if they do not fill whole bytes or the number does not fit.
    pub fn size(self, entries: u64) -> Option<u64> {
        let bits = entries.checked_mul(self.bits())?;
        bits.is_multiple_of(8).then_some(bits / 8)
    }

    /// Width of an entry of a float type, in bytes.
    pub(crate) fn width(self) -> usize {
        (self.bits() / 8) as usize
    }

    /// The largest finite number; infinite for what is not computed with.
    pub fn largest(self) -> f64 {
        match self {
            Self::F64 => f64::MAX,
            Self::F32 => f64::from(f32::MAX),
            Self::F16 => 65_504.0,
            Self::Bf16 => f64::from(f32::from_bits(0x7F7F_0000)),
            Self::F8E4M3 => 448.0,
            Self::F8E5M2 => 57_344.0,
            Self::Opaque(..) => f64::INFINITY,
        }
    }

    /// Would a number of this size be rounded beyond the largest?
    pub(crate) fn overflows(self, size: f64) -> bool {
        match self {
            // Half a unit in the last place above the largest: a tie, which goes up where the largest is odd.
            Self::F64 => size == f64::INFINITY,
            Self::F32 => size >= f64::from(f32::MAX) + 2_f64.powi(103),
            Self::F16 => size >= 65_520.0,
            Self::Bf16 => size >= self.largest() + 2_f64.powi(119),
            Self::F8E4M3 => size > 464.0,
            Self::F8E5M2 => size >= 61_440.0,
            Self::Opaque(..) => false,
        }
    }

    /// Entries as numbers, exactly. `bytes` holds one entry per place of `out`; opaque types give nothing.
    pub fn decode(self, bytes: &[u8], out: &mut [f64]) {
        debug_assert_eq!(bytes.len() * 8, out.len() * self.bits() as usize);
        match self {
            Self::F64 => {
                for (out, bytes) in out.iter_mut().zip(bytes.as_chunks::<8>().0) {
                    *out = f64::from_le_bytes(*bytes);
                }
            }
            Self::F32 => {
                for (out, bytes) in out.iter_mut().zip(bytes.as_chunks::<4>().0) {
                    *out = f64::from(f32::from_le_bytes(*bytes));
                }
            }
            Self::F16 => {
                let (mut halves, mut singles) = ([f16::ZERO; RUN], [0_f32; RUN]);
                for (out, bytes) in out.chunks_mut(RUN).zip(bytes.chunks(2 * RUN)) {
                    for (half, bytes) in halves.iter_mut().zip(bytes.as_chunks::<2>().0) {
                        *half = f16::from_le_bytes(*bytes);
                    }
                    halves[..out.len()].convert_to_f32_slice(&mut singles[..out.len()]);
                    for (out, &single) in out.iter_mut().zip(&singles) {
                        *out = f64::from(single);
                    }
                }
            }
            Self::Bf16 => {
                for (out, bytes) in out.iter_mut().zip(bytes.as_chunks::<2>().0) {
                    *out = f64::from(f32::from_bits(u32::from(u16::from_le_bytes(*bytes)) << 16));
                }
            }
            Self::F8E4M3 => decode_by_table(&table(|code| minifloat(code, 3, 7, false)), bytes, out),
            Self::F8E5M2 => decode_by_table(&table(|code| minifloat(code, 2, 15, true)), bytes, out),
            Self::Opaque(..) => {}
        }
    }

    /// Appends numbers as entries, each rounded once, to nearest, ties to even. Beyond the largest number stands infinity
    /// (NaN where the type has none). Opaque types append nothing.
    pub fn encode(self, numbers: &[f64], out: &mut Vec<u8>) {
        out.reserve(numbers.len() * self.width());
        match self {
            Self::F64 => out.extend(numbers.iter().flat_map(|x| x.to_le_bytes())),
            Self::F32 => {
                let begin = out.len();
                out.resize(begin + 4 * numbers.len(), 0);
                for (bytes, &x) in out[begin..].as_chunks_mut::<4>().0.iter_mut().zip(numbers) {
                    *bytes = (x as f32).to_le_bytes();
                }
            }
            Self::F16 => {
                let (mut halves, mut singles) = ([f16::ZERO; RUN], [0_f32; RUN]);
                for numbers in numbers.chunks(RUN) {
                    for (single, &x) in singles.iter_mut().zip(numbers) {
                        *single = to_odd(x);
                    }
                    halves[..numbers.len()].convert_from_f32_slice(&singles[..numbers.len()]);
                    let begin = out.len();
                    out.resize(begin + 2 * numbers.len(), 0);
                    for (bytes, half) in out[begin..].as_chunks_mut::<2>().0.iter_mut().zip(&halves) {
                        *bytes = half.to_le_bytes();
                    }
                }
            }
            Self::Bf16 => {
                let begin = out.len();
                out.resize(begin + 2 * numbers.len(), 0);
                for (bytes, &x) in out[begin..].as_chunks_mut::<2>().0.iter_mut().zip(numbers) {
                    let bits = to_odd(x).to_bits();
                    let even = (bits >> 16) & 1;
                    let rounded = (bits.wrapping_add(0x7FFF + even) >> 16) as u16;
                    let quiet = (bits >> 16) as u16 | 0x40;
                    *bytes = if x.is_nan() { quiet } else { rounded }.to_le_bytes();
                }
            }
            Self::F8E4M3 => out.extend(numbers.iter().map(|&x| to_minifloat(x, 3, 7, 0x7F, 0x7F))),
            Self::F8E5M2 => out.extend(numbers.iter().map(|&x| to_minifloat(x, 2, 15, 0x7C, 0x7F))),
            Self::Opaque(..) => {}
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Dtype {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Dtype {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::from_file(&name).ok_or_else(|| serde::de::Error::custom(format!("{name:?} is no element type")))
    }
}

/// `x` as a single, rounded to odd: exact if it can be, else the neighbour whose last bit is set.
fn to_odd(x: f64) -> f32 {
    let nearest = x as f32;
    let back = f64::from(nearest);
    let truncated = nearest.to_bits() - u32::from(back.abs() > x.abs());
    f32::from_bits(truncated | u32::from(back != x))
}

fn table(value: impl Fn(u8) -> f64) -> [f64; 256] {
    std::array::from_fn(|code| value(code as u8))
}

fn decode_by_table(table: &[f64; 256], bytes: &[u8], out: &mut [f64]) {
    for (out, &code) in out.iter_mut().zip(bytes) {
        *out = table[usize::from(code)];
    }
}

/// The number of an 8-bit float with `fraction` bits of fraction: with infinities (the upper exponent is theirs and
/// NaN's), or with all codes but the last for numbers.
fn minifloat(code: u8, fraction: u32, bias: i32, infinities: bool) -> f64 {
    let sign = if code & 0x80 == 0 { 1.0 } else { -1.0 };
    let body = u32::from(code & 0x7F);
    let (exponent, rest) = ((body >> fraction) as i32, f64::from(body & ((1 << fraction) - 1)));
    let unit = 2_f64.powi(-(fraction as i32));
    let top = 0x7F >> fraction;
    match (infinities, exponent) {
        (true, e) if e == top => sign * if rest == 0.0 { f64::INFINITY } else { f64::NAN },
        (false, _) if body == 0x7F => f64::NAN,
        (_, 0) => sign * rest * unit * 2_f64.powi(1 - bias),
        (_, e) => sign * (1.0 + rest * unit) * 2_f64.powi(e - bias),
    }
}

/// The 8-bit float nearest to `x`, ties to even.
fn to_minifloat(x: f64, fraction: i32, bias: i32, overflow: u8, nan: u8) -> u8 {
    let sign = if x.is_sign_negative() { 0x80 } else { 0 };
    if x.is_nan() {
        return sign | nan;
    }
    let size = x.abs();
    // The exponent of a double; that of zero and of subnormals is far below any that matters here.
    let exponent = (((size.to_bits() >> 52) as i32) - 1023).max(1 - bias);
    if exponent > bias + 1 {
        return sign | overflow;
    }
    let steps = (size * 2_f64.powi(fraction - exponent)).round_ties_even() as i32;
    // Adding the steps lets a fraction that rounds up carry into the exponent.
    let body = ((exponent + bias) << fraction) + steps - (1 << fraction);
    sign | if body >= i32::from(overflow) { overflow } else { body as u8 }
}
